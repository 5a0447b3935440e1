package api

import (
	"reflect"
	"strconv"

	"countersign/core/api/schema"
	"countersign/core/fault"
)

// DefaultPageSize and MaxPageSize bound page_size. The contract knows no maximum (core.md §7.2, BETTER-38); more than
// a thousand is read as a thousand.
const (
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// Pagination is what a page says of its list (core.md §7.2): numbers of pages and of items, 0 where there is none.
type Pagination struct {
	Next       int `json:"next" api:"required,number"`
	Previous   int `json:"previous" api:"required,number"`
	Count      int `json:"count" api:"required,number"`
	Current    int `json:"current" api:"required,number"`
	TotalPages int `json:"total_pages" api:"required,number"`
	StartIndex int `json:"start_index" api:"required,number"`
	EndIndex   int `json:"end_index" api:"required,number"`
}

// Page is one page of a list; its schema is named Paginated<T>List.
type Page[T any] struct {
	Pagination Pagination `json:"pagination" api:"required"`
	Results    []T        `json:"results" api:"required"`
}

// SchemaName is the component's name in the document.
func (Page[T]) SchemaName() string {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if n, ok := reflect.Zero(t).Interface().(schema.Named); ok {
		name = n.SchemaName()
	}
	return "Paginated" + name + "List"
}

// Paging is the page that a request asks for.
type Paging struct {
	Page int // from 1; 0 is the last
	Size int // 1 to MaxPageSize
}

// Paging reads page and page_size; a page_size that is no positive number is the default, one too large the maximum.
// Errors: NotFound "Invalid page.".
func (r *Request) Paging() (Paging, error) {
	p := Paging{Page: 1, Size: DefaultPageSize}
	if n, err := strconv.Atoi(r.Query().Get("page_size")); err == nil && n > 0 {
		p.Size = min(n, MaxPageSize)
	}
	switch s := r.Query().Get("page"); s {
	case "":
	case "last":
		p.Page = 0
	default:
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return p, invalidPage()
		}
		p.Page = n
	}
	return p, nil
}

func invalidPage() error { return fault.New(fault.NotFound, "not_found", "Invalid page.") }

// Pagination describes the page of a list of count items and says which offset to read it from; an empty list has one
// empty page. Errors: NotFound "Invalid page." past the end.
func (p Paging) Pagination(count int) (pg Pagination, offset int, err error) {
	pages := max(1, (count+p.Size-1)/p.Size)
	page := p.Page
	if page == 0 {
		page = pages
	}
	if page > pages {
		return pg, 0, invalidPage()
	}
	offset = (page - 1) * p.Size
	pg = Pagination{Count: count, Current: page, TotalPages: pages, EndIndex: min(count, offset+p.Size)}
	if count > 0 {
		pg.StartIndex = offset + 1
	}
	if page > 1 {
		pg.Previous = page - 1
	}
	if page < pages {
		pg.Next = page + 1
	}
	return pg, offset, nil
}

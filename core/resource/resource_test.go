package resource_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/core/resourcetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	if err := l.reg.CheckTables(t.Context(), l.pool); err != nil {
		t.Error(err)
	}
	shelf := l.admin.Want(t, http.StatusCreated, "POST", "/library/shelves/", map[string]any{"name": "A"}).Object(t)["pk"]
	author := l.admin.Want(t, http.StatusCreated, "POST", "/library/authors/", map[string]any{"name": "Le Guin"}).Object(t)["pk"]
	clock := l.admin.Want(t, http.StatusCreated, "POST", "/library/gadgets/clock/", map[string]any{"name": "tick"}).Object(t)["pk"]
	suites := map[string]resourcetest.Suite{
		"shelves": {Path: "/library/shelves/", Valid: func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("shelf ", n)} }},
		"authors": {Path: "/library/authors/", Valid: func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("author ", n)} }},
		"books": {Path: "/library/books/", Lookup: "slug", Owned: true, Reset: []string{"authors"}, Valid: func(n int) map[string]any {
			return map[string]any{
				"slug": fmt.Sprint("book-", n), "title": fmt.Sprint("Book ", n), "subtitle": "x", "genre": "novel", "mood": "dark", "shelf": shelf,
				"place": n, "price": 1.25, "lent": true, "contact": "a@example.com", "homepage": "https://example.com/", "marks": []string{"a", "b"},
				"authors": []any{author}, "attributes": map[string]any{"a": []any{1, "x"}}, "extra": "text", "published": "2024-05-06T07:08:09.123456Z", "secret": "s",
			}
		}},
		"lamps": {Path: "/library/gadgets/lamp/", Valid: func(n int) map[string]any {
			return map[string]any{"name": fmt.Sprint("lamp ", n), "watts": 60, "over": shelf, "near": []any{shelf}, "partner": clock, "pin": "1"}
		}},
		"clocks": {Path: "/library/gadgets/clock/", Valid: func(n int) map[string]any {
			return map[string]any{"name": fmt.Sprint("clock ", n), "on": shelf, "ticking": true}
		}},
	}
	for name, s := range suites {
		t.Run(name, func(t *testing.T) {
			s.Handler, s.Pool, s.Admin, s.Other = l.handler, l.pool, as("admin"), as("bob")
			resourcetest.Run(t, s)
		})
	}
}

func (l *library) book(t testing.TB, c resourcetest.Client, slug string, more map[string]any) map[string]any {
	t.Helper()
	body := map[string]any{"slug": slug, "title": "Title of " + slug, "genre": "novel"}
	for k, v := range more {
		body[k] = v
	}
	return c.Want(t, http.StatusCreated, "POST", "/library/books/", body).Object(t)
}

func (l *library) shelf(t testing.TB, name string) string {
	t.Helper()
	return l.admin.Want(t, http.StatusCreated, "POST", "/library/shelves/", map[string]any{"name": name}).Object(t)["pk"].(string)
}

// What a caller sees is the same in list, count, retrieve, actions, writes and used_by.
func TestVisibility(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	shelf := l.shelf(t, "S")
	l.book(t, l.ann, "anns", map[string]any{"shelf": shelf, "place": 1})
	l.book(t, l.bob, "bobs", map[string]any{"shelf": shelf, "place": 2})

	list := l.ann.Want(t, 200, "GET", "/library/books/", nil).Object(t)
	if n := list["pagination"].(map[string]any)["count"]; n != 1.0 || len(list["results"].([]any)) != 1 {
		t.Errorf("ann sees %v", list)
	}
	if got := l.admin.Want(t, 200, "GET", "/library/books/", nil).Object(t)["pagination"].(map[string]any)["count"]; got != 2.0 {
		t.Errorf("admin counts %v", got)
	}
	if got := l.ann.Want(t, 200, "GET", "/library/books/titles/", nil).Raw; got != `{"titles":["Title of anns"]}` {
		t.Errorf("titles: %s", got)
	}
	if got := l.admin.Want(t, 200, "GET", "/library/books/titles/?slug=bobs", nil).Raw; got != `{"titles":["Title of bobs"]}` {
		t.Errorf("filtered titles: %s", got)
	}
	for _, m := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		l.ann.Want(t, 404, m, "/library/books/bobs/", map[string]any{})
	}
	l.ann.Want(t, 404, "GET", "/library/books/bobs/used_by/", nil)
	l.ann.Want(t, 404, "POST", "/library/books/bobs/lend/", map[string]any{"days": 3})
	l.ann.Want(t, 204, "POST", "/library/books/anns/lend/", map[string]any{"days": 3})
	l.ann.Want(t, 400, "POST", "/library/books/anns/lend/", map[string]any{"days": 31})
	l.ann.Want(t, 403, "POST", "/library/books/anns/burn/", nil) // visible, not allowed
	l.admin.Want(t, 204, "POST", "/library/books/anns/burn/", nil)
	l.ann.Want(t, 403, "GET", "/library/shelves/"+shelf+"/used_by/", nil) // no Visible: only with the permission
	uses := l.admin.Want(t, 200, "GET", "/library/shelves/"+shelf+"/used_by/", nil).Body.([]any)
	if len(uses) != 2 {
		t.Errorf("used by %v", uses)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.book(t, l.admin, "taken", nil)
	shelf := l.shelf(t, "S")
	l.book(t, l.admin, "placed", map[string]any{"shelf": shelf, "place": 9})
	const absent = "00000000-0000-4000-8000-000000000000"
	for _, c := range []struct {
		field string
		value any
		at    string
		want  string
	}{
		{"slug", "taken", "slug", "This field must be unique."},
		{"slug", "no spaces", "slug", `Enter a valid "slug" consisting of letters, numbers, underscores or hyphens.`},
		{"title", "forbidden book", "title", "This title is forbidden."},
		{"contact", "nobody", "contact", "Enter a valid email address."},
		{"homepage", "javascript:alert(1)", "homepage", "Enter a valid URL."},
		{"genre", "", "genre", `"" is not a valid choice.`},
		{"place", "12x", "place", "A valid integer is required."},
		{"place", 3000000000, "place", "Ensure this value is less than or equal to 2147483647."},
		{"price", "cheap", "price", "A valid number is required."},
		{"shelf", absent, "shelf", `Invalid pk "` + absent + `" - object does not exist.`},
		{"shelf", "x", "shelf", "“x” is not a valid UUID."},
		{"shelf", 5, "shelf", "Incorrect type. Expected pk value, received int."},
		{"authors", []any{4711}, "authors", `Invalid pk "4711" - object does not exist.`},
		{"authors", []any{1e15}, "authors", `Invalid pk "1000000000000000" - object does not exist.`},
		{"authors", []any{"x"}, "authors", "Incorrect type. Expected pk value, received str."},
		{"marks", []any{"ok", ""}, "marks.1", "This field may not be blank."},
		{"attributes", []any{}, "attributes", "Value must be a dictionary, and not have any duplicate keys."},
		{"published", "yesterday", "published", "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."},
	} {
		body := map[string]any{"slug": "s", "title": "t", "genre": "novel"}
		body[c.field] = c.value
		r := l.admin.Do(t, "POST", "/library/books/", body)
		if r.Status != 400 || !slices.Equal(r.Texts(c.at), []string{c.want}) {
			t.Errorf("%s = %v: %d %s, want %q", c.field, c.value, r.Status, r.Raw, c.want)
		}
	}
	r := l.admin.Do(t, "POST", "/library/books/", map[string]any{"slug": "s", "title": "t", "genre": "novel", "shelf": shelf, "place": 9})
	if !slices.Equal(r.Texts("non_field_errors"), []string{"The fields shelf, place must make a unique set."}) {
		t.Errorf("unique together: %s", r.Raw)
	}
	r = l.admin.Do(t, "POST", "/library/books/", map[string]any{"slug": "x x", "title": "", "genre": "opera"})
	if len(r.Object(t)) != 3 {
		t.Errorf("three wrong fields are told at once: %s", r.Raw)
	}
}

// What Django REST framework takes beside the plain types.
func TestLenient(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	b := l.book(t, l.admin, "b", map[string]any{"lent": "yes", "place": "12", "title": " trimmed ", "shelf": "", "marks": []any{7, "x"}, "published": "2024-05-06 07:08+02:00", "unknown": 1})
	for name, want := range map[string]any{"lent": true, "place": 12.0, "title": "trimmed", "shelf": nil, "subtitle": "untold", "published": "2024-05-06T05:08:00Z"} {
		if b[name] != want {
			t.Errorf("%s is %v, want %v", name, b[name], want)
		}
	}
}

// Two changes of different fields at once both stay, also where the fields share a column: a change waits for the row
// before it reads it.
func TestConcurrentPatch(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	shelf := l.shelf(t, "S")
	path := "/library/gadgets/lamp/" + l.admin.Want(t, 201, "POST", "/library/gadgets/lamp/", map[string]any{"name": "lamp"}).Object(t)["pk"].(string) + "/"
	tx, err := l.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `UPDATE gadgets SET settings = settings || '{"watts": 77}'`); err != nil {
		t.Fatal(err)
	}
	patched := make(chan *resourcetest.Response, 1)
	go func() { patched <- l.admin.Do(t, "PATCH", path, map[string]any{"over": shelf}) }()
	for deadline := time.Now().Add(10 * time.Second); ; {
		var waiting bool
		if err := l.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the change does not wait for the row")
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lamp := (<-patched).Object(t); lamp["watts"] != 77.0 || lamp["over"] != shelf {
		t.Errorf("a change was lost: %v", lamp)
	}
}

func TestFiltersAndSearch(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	author := l.admin.Want(t, 201, "POST", "/library/authors/", map[string]any{"name": "A"}).Object(t)["pk"]
	l.book(t, l.admin, "one", map[string]any{"title": "The 100% Book", "shelf": l.shelf(t, "Zeta"), "authors": []any{author, author}, "attributes": map[string]any{"k": map[string]any{"v": 1}}})
	l.book(t, l.admin, "two", map[string]any{"title": "Another_Book", "shelf": l.shelf(t, "Alpha"), "lent": true, "mood": "light"})
	for query, want := range map[string][]string{
		"":                               {"two", "one"},
		"ordering=-title":                {"one", "two"},
		"ordering=shelf__name":           {"two", "one"},
		"ordering=-shelf_name":           {"one", "two"},
		"ordering=nonsense":              {"two", "one"},
		"search=BOOK":                    {"two", "one"},
		"search=book,100%25":             {"one"},
		"search=zeta+book":               {"one"},
		"search=_":                       {"two"},
		"search=%25":                     {"one"},
		"lent=true":                      {"two"},
		"lent=nonsense":                  {"two", "one"},
		"mood=light":                     {"two"},
		fmt.Sprintf("author=%v", author): {"one"},
		fmt.Sprintf("author=1&author=%v", author): {"one"},
		"author=999":              {},
		"with=" + `{"k":{"v":1}}`: {"one"},
		"shelf_name=Alpha":        {"two"},
		"page_size=1&page=last":   {"one"},
		"nothing=known":           {"two", "one"},
	} {
		r := l.admin.Want(t, 200, "GET", "/library/books/?"+query, nil)
		got := []string{}
		for _, v := range r.Object(t)["results"].([]any) {
			got = append(got, v.(map[string]any)["slug"].(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	for query, text := range map[string]string{
		"shelf=x": "Enter a valid UUID.", "place=x": "Enter a number.", "genre=opera": "Select a valid choice. opera is not one of the available choices.",
		"with=x": "Enter a valid JSON object.", "published=x": "Enter a valid date/time.",
	} {
		r := l.admin.Want(t, 400, "GET", "/library/books/?"+query, nil)
		name := query[:len(query)-len(query[slices.Index([]byte(query), '='):])]
		if !slices.Equal(r.Texts(name), []string{text}) {
			t.Errorf("%s: %s", query, r.Raw)
		}
	}
	without := l.admin.Want(t, 200, "GET", "/library/books/one/?include_shelf=false", nil).Object(t)
	with := l.admin.Want(t, 200, "GET", "/library/books/one/", nil).Object(t)
	if without["shelf_obj"] != nil || with["shelf_obj"] == nil {
		t.Errorf("include_shelf: %v and %v", without["shelf_obj"], with["shelf_obj"])
	}
}

// References inside settings are honoured as if they were foreign keys.
func TestSettingsReferences(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	doomed, other := l.shelf(t, "doomed"), l.shelf(t, "other")
	clock := l.admin.Want(t, 201, "POST", "/library/gadgets/clock/", map[string]any{"name": "clock", "on": doomed}).Object(t)["pk"].(string)
	lamp := l.admin.Want(t, 201, "POST", "/library/gadgets/lamp/", map[string]any{
		"name": "lamp", "over": doomed, "near": []any{other, doomed, other}, "partner": clock, "pin": "1234",
	}).Object(t)
	path := "/library/gadgets/lamp/" + lamp["pk"].(string) + "/"
	if lamp["watts"] != 40.0 || lamp["component"] != "x-lamp-form" || lamp["meta_model_name"] != "test_lamps.lamp" || lamp["size"] != 4.0 {
		t.Errorf("lamp %v", lamp)
	}
	r := l.admin.Want(t, 400, "PATCH", path, map[string]any{"partner": lamp["pk"]}) // a gadget, but no clock
	if len(r.Texts("partner")) != 1 {
		t.Errorf("a lamp as partner: %s", r.Raw)
	}
	uses := l.admin.Want(t, 200, "GET", "/library/shelves/"+doomed+"/used_by/", nil).Body.([]any)
	var got []string
	for _, u := range uses {
		o := u.(map[string]any)
		got = append(got, fmt.Sprint(o["app"], ".", o["model_name"], " ", o["name"], " ", o["action"]))
	}
	slices.Sort(got)
	if want := []string{"test_clocks.clock clock cascade", "test_lamps.lamp lamp cascade_many", "test_lamps.lamp lamp set_null"}; !slices.Equal(got, want) {
		t.Errorf("used by %v, want %v", got, want)
	}
	r = l.admin.Want(t, 204, "DELETE", "/library/shelves/"+doomed+"/", nil)
	var deleted []string
	rows, err := l.pool.Query(t.Context(), `SELECT context->'model'->>'model_name' FROM events WHERE action = 'model_deleted' AND context->'http_request'->>'request_id' = $1 ORDER BY 1`, r.Header.Get("X-authentik-id"))
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		deleted = append(deleted, s)
	}
	if !slices.Equal(deleted, []string{"clock", "shelf"}) {
		t.Errorf("deletions told: %v", deleted)
	}
	l.admin.Want(t, 404, "GET", "/library/gadgets/clock/"+clock+"/", nil)
	lamp = l.admin.Want(t, 200, "GET", path, nil).Object(t)
	if lamp["over"] != nil || lamp["partner"] != nil || fmt.Sprint(lamp["near"]) != fmt.Sprint([]any{other, other}) {
		t.Errorf("after the deletion: %v", lamp)
	}
	var pin string
	if err := l.pool.QueryRow(t.Context(), `SELECT settings->>'pin' FROM gadgets`).Scan(&pin); err != nil || pin != "1234" {
		t.Errorf("pin %q, %v", pin, err)
	}
	all := l.admin.Want(t, 200, "GET", "/library/gadgets/all/", nil).Object(t)["results"].([]any)
	if len(all) != 1 || all[0].(map[string]any)["component"] != "x-lamp-form" {
		t.Errorf("all: %v", all)
	}
	if got := l.admin.Want(t, 200, "GET", "/library/gadgets/all/types/", nil).Raw; got != `[{"name":"Clock","description":"","component":"x-clock-form","model_name":"clock","requires_enterprise":false},{"name":"Lamp","description":"Gives light.","component":"x-lamp-form","model_name":"lamp","requires_enterprise":false}]` {
		t.Errorf("types: %s", got)
	}
	l.admin.Want(t, 404, "GET", "/library/gadgets/clock/"+lamp["pk"].(string)+"/", nil) // another kind's path
	r = l.admin.Want(t, 204, "DELETE", "/library/gadgets/all/"+lamp["pk"].(string)+"/", nil)
	var app string
	if err := l.pool.QueryRow(t.Context(), `SELECT context->'model'->>'app' FROM events WHERE context->'http_request'->>'request_id' = $1`, r.Header.Get("X-authentik-id")).Scan(&app); err != nil || app != "test_lamps" {
		t.Errorf("event of the deletion by the family's path: %q, %v", app, err)
	}
}

// used_by of the other side of a link table.
func TestManyToMany(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	var authors []any
	for _, n := range []string{"A", "B"} {
		authors = append(authors, l.admin.Want(t, 201, "POST", "/library/authors/", map[string]any{"name": n}).Object(t)["pk"])
	}
	l.book(t, l.admin, "b", map[string]any{"authors": authors})
	uses := l.admin.Want(t, 200, "GET", fmt.Sprintf("/library/authors/%v/used_by/", authors[0]), nil).Raw
	if uses != `[{"app":"test_library","model_name":"book","pk":"1","name":"Title of b","action":"cascade_many"}]` {
		t.Errorf("used by %s", uses)
	}
	got := l.admin.Want(t, 200, "PATCH", "/library/books/b/", map[string]any{"authors": authors[1:]}).Object(t)["authors"]
	if fmt.Sprint(got) != fmt.Sprint(authors[1:]) {
		t.Errorf("authors %v", got)
	}
	if got := l.admin.Want(t, 200, "PATCH", "/library/books/b/", map[string]any{}).Object(t)["authors"]; fmt.Sprint(got) != fmt.Sprint(authors[1:]) {
		t.Errorf("an empty PATCH: authors %v", got)
	}
}

// A shelf that goes while lamps come to hang over it leaves no lamp that hangs over nothing.
func TestReferenceRace(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	var wg sync.WaitGroup
	for i := range 20 {
		shelf := l.shelf(t, fmt.Sprint("shelf ", i))
		wg.Go(func() { l.admin.Want(t, 204, "DELETE", "/library/shelves/"+shelf+"/", nil) })
		for k := range 3 {
			wg.Go(func() {
				r := l.admin.Do(t, "POST", "/library/gadgets/lamp/", map[string]any{"name": fmt.Sprint(i, " ", k), "over": shelf, "near": []any{shelf}})
				if r.Status != 201 && (r.Status != 400 || r.Texts("over") == nil) {
					t.Errorf("lamp: %d %s", r.Status, r.Raw)
				}
			})
		}
	}
	wg.Wait()
	var dangling int
	if err := l.pool.QueryRow(t.Context(), `SELECT count(*) FROM gadgets WHERE settings->>'over' IS NOT NULL OR settings->'near' <> '[]'`).Scan(&dangling); err != nil || dangling != 0 {
		t.Errorf("%d lamps refer to shelves that are gone, %v", dangling, err)
	}
}

// A refused write leaves neither rows nor events nor half of a change behind.
func TestFailedWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.book(t, l.admin, "taken", nil)
	count := func() (books, events int) {
		if err := l.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM books), (SELECT count(*) FROM events)`).Scan(&books, &events); err != nil {
			t.Fatal(err)
		}
		return
	}
	books, events := count()
	l.admin.Want(t, 400, "POST", "/library/books/", map[string]any{"slug": "taken", "title": "x", "genre": "novel"})
	l.admin.Want(t, 400, "PATCH", "/library/books/taken/", map[string]any{"title": "new", "authors": []any{99}})
	if b, e := count(); b != books || e != events {
		t.Errorf("%d books and %d events, were %d and %d", b, e, books, events)
	}
	if got := l.admin.Want(t, 200, "GET", "/library/books/taken/", nil).Object(t)["title"]; got != "Title of taken" {
		t.Errorf("title %v", got)
	}
}

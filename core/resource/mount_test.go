package resource_test

import (
	"fmt"
	"strings"
	"testing"

	"countersign/core/api"
	"countersign/core/event"
	"countersign/core/resource"
)

func TestWrongDeclarations(t *testing.T) {
	t.Parallel()
	type noKey struct {
		Name string `json:"name" db:"name"`
	}
	type row struct {
		PK   int    `json:"pk" db:"id" api:"pk,ro"`
		Name string `json:"name" db:"name"`
		List []int  `json:"list"`
		Free string `json:"free" api:"ro"`
	}
	base := func(change func(*resource.Def[row])) func(*resource.Registry) {
		return func(r *resource.Registry) {
			d := resource.Def[row]{Name: "row", App: "test", Path: "/test/rows/", Table: "rows"}
			change(&d)
			resource.Mount(r, d)
		}
	}
	for want, mount := range map[string]func(*resource.Registry){
		`api:"pk,ro"`: func(r *resource.Registry) {
			resource.Mount(r, resource.Def[noKey]{Name: "x", App: "test", Path: "/x/", Table: "x"})
		},
		"set Name, App and Table":    base(func(d *resource.Def[row]) { d.App = "" }),
		"a slash at both ends":       base(func(d *resource.Def[row]) { d.Path = "/test/rows" }),
		`Filter "nmae"`:              base(func(d *resource.Def[row]) { d.Filter = []string{"nmae"} }),
		`Filter "free"`:              base(func(d *resource.Def[row]) { d.Filter = []string{"free"} }),
		`Search "nmae"`:              base(func(d *resource.Def[row]) { d.Search = []string{"nmae"} }),
		`Order "-nmae"`:              base(func(d *resource.Def[row]) { d.Order = []string{"-nmae"} }),
		`Lookup "slug"`:              base(func(d *resource.Def[row]) { d.Lookup = "slug" }),
		`Unique "slug"`:              base(func(d *resource.Def[row]) { d.Unique = [][]string{{"slug", "name"}} }),
		`Computed nmae`:              base(func(d *resource.Def[row]) { d.Computed = map[string]string{"nmae": "1"} }),
		`Many list`:                  base(func(d *resource.Def[row]) { d.Many = []resource.Many{{Field: "list"}} }),
		`Filters "x"`:                base(func(d *resource.Def[row]) { d.Filters = []resource.Filter{{Name: "x", SQL: "true"}} }),
		`"search" is declared twice`: base(func(d *resource.Def[row]) { d.Filters = []resource.Filter{{Name: "search", SQL: "$1"}} }),
		`"name" is declared twice`:   base(func(d *resource.Def[row]) { d.Filter, d.Flags = []string{"name"}, []resource.Flag{{Name: "name"}} }),
		"a field for the kind": func(r *resource.Registry) {
			resource.MountFamily(r, resource.Family[row]{Def: resource.Def[row]{Name: "row", App: "test", Path: "/r/", Table: "rows"}})
		},
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
					t.Errorf("panic %q, want one with %q", p, want)
				}
			}()
			mount(resource.New(api.New(api.Options{}), nil, &event.Log{}))
		}()
	}
}

func TestReferenceToNothing(t *testing.T) {
	t.Parallel()
	type row struct {
		PK    int  `json:"pk" db:"id" api:"pk,ro"`
		Other *int `json:"other" db:"other" api:"ref=nobody"`
	}
	r := resource.New(api.New(api.Options{}), nil, &event.Log{})
	resource.Mount(r, resource.Def[row]{Name: "row", App: "test", Path: "/test/rows/", Table: "rows"})
	if err := r.Finish(); err == nil || !strings.Contains(err.Error(), "ref=nobody names no resource") {
		t.Errorf("error %v", err)
	}
}

package resource_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
)

// fill puts n books on the shelves.
func (l *library) fill(b *testing.B, n int) {
	b.Helper()
	shelf := l.shelf(b, "S")
	if _, err := l.pool.Exec(b.Context(), `INSERT INTO books (slug, title, genre, shelf, place, attributes)
		SELECT 'book-' || i, 'Title ' || i, 'novel', $1, i, '{"a": [1, 2, 3]}' FROM generate_series(1, $2) i`, shelf, n); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	l := newLibrary(b)
	l.fill(b, 1000)
	for _, c := range []struct{ name, path string }{
		{"retrieve", "/library/books/book-500/"},
		{"list 20", "/library/books/?page_size=20"},
		{"list 100", "/library/books/?page_size=100&ordering=-place"},
		{"search 20", "/library/books/?page_size=20&search=title+99"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequest("GET", "/api/v3"+c.path, nil)
					as("admin")(r)
					w := httptest.NewRecorder()
					l.handler.ServeHTTP(w, r)
					if w.Code != 200 {
						b.Errorf("status %d", w.Code)
					}
				}
			})
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	l := newLibrary(b)
	l.fill(b, 100)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		l.admin.Want(b, 200, "PATCH", "/library/books/book-50/", map[string]any{"subtitle": fmt.Sprint(i)})
	}
}

// BenchmarkRaw is what the reads cost without a resource: the limit.
func BenchmarkRaw(b *testing.B) {
	l := newLibrary(b)
	l.fill(b, 1000)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var title string
			if err := l.pool.QueryRow(b.Context(), "SELECT title FROM books WHERE slug = $1", "book-500").Scan(&title); err != nil {
				b.Error(err)
			}
		}
	})
}

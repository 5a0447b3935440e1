package brand_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"countersign/core/areatest"
	"countersign/core/brand"
	"countersign/core/dbtest"
)

func TestFor(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), dbtest.Pool(t)
	s := &brand.Store{Pool: pool, TTL: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	domain := func(host string) string {
		t.Helper()
		b, err := s.For(ctx, host)
		if err != nil {
			t.Fatal(err)
		}
		return b.Domain
	}
	if got := domain("x"); got != "fallback" {
		t.Errorf("no brands: %s", got)
	}
	if _, err := pool.Exec(ctx, `INSERT INTO brands (brand_uuid, domain, is_default) SELECT gen_random_uuid(), d, d = 'usual' FROM unnest(ARRAY['usual', 'B.example', 'a.b.example', 'b.example:9000']) d`); err != nil {
		t.Fatal(err)
	}
	if got := domain("x"); got != "fallback" {
		t.Errorf("the snapshot is to be used again: %s", got)
	}
	s.Invalidate()
	for host, want := range map[string]string{"": "usual", "other.example": "usual", "b.EXAMPLE": "B.example", "xb.example": "B.example", "z.a.b.example": "a.b.example",
		"b.example:9000": "b.example:9000", "b.example:1": "usual", "usual": "usual"} {
		if got := domain(host); got != want {
			t.Errorf("%q: %s; want %s", host, got, want)
		}
	}
}

func TestForAgesAndSurvives(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	var mu sync.Mutex
	now := time.Now()
	forward := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	s := &brand.Store{Pool: pool, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	ctx, gone := context.WithCancel(context.Background())
	if b, err := s.For(ctx, "x"); err != nil || b.Domain != "fallback" {
		t.Fatal(b, err)
	}
	if _, err := pool.Exec(ctx, `INSERT INTO brands (brand_uuid, domain, is_default) VALUES (gen_random_uuid(), 'new', true)`); err != nil {
		t.Fatal(err)
	}
	forward(brand.DefaultTTL)
	if b, err := s.For(ctx, "x"); err != nil || b.Domain != "new" {
		t.Errorf("an aged snapshot: %v, %v", b, err)
	}
	forward(brand.DefaultTTL)
	gone() // stands for a database that is away
	if b, err := s.For(ctx, "x"); err != nil || b.Domain != "new" {
		t.Errorf("without a database: %v, %v; want the old brand", b, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.For(context.Background(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestBrandsResource(t *testing.T) {
	t.Parallel()
	s := areatest.New(t, nil)
	if _, err := s.Pool.Exec(context.Background(), `INSERT INTO flows (flow_uuid, pbm_uuid, name, slug, title, designation) VALUES ('11111111-1111-1111-1111-111111111111', gen_random_uuid(), 'f', 'the-flow', 'F', 'authentication')`); err != nil {
		t.Fatal(err)
	}
	current := func() areatest.Answer {
		r := httptest.NewRequest("GET", "/api/v3/core/brands/current/", nil)
		r.Host = "login.corp.example"
		return s.Send(t, r)
	}
	if a := current(); a.Status != 200 || a.At("matched_domain") != "fallback" || a.At("branding_title") != "Countersign" {
		t.Errorf("no brands: %d %s", a.Status, a.Text)
	}
	made := s.Must(t, 201, s.AdminKey, "POST", "/core/brands/", map[string]any{"domain": "corp.example", "flow_authentication": "11111111-1111-1111-1111-111111111111",
		"attributes": map[string]any{"settings": map[string]any{"locale": "de", "theme": map[string]any{"base": "dark"}}}})
	a := current()
	if a.At("matched_domain") != "corp.example" || a.At("flow_authentication") != "the-flow" || a.At("default_locale") != "de" || a.At("ui_theme") != "dark" {
		t.Errorf("after the write: %s", a.Text)
	}
	if _, there := a.JSON.(map[string]any)["flow_recovery"]; there {
		t.Errorf("a flow that is not set is shown: %s", a.Text)
	}
	one := "/core/brands/" + made.At("brand_uuid").(string) + "/"
	s.Must(t, 200, s.AdminKey, "PATCH", one, map[string]any{"branding_title": "Corp", "default": true})
	if a := current(); a.At("branding_title") != "Corp" {
		t.Errorf("after the second write: %s", a.Text)
	}
	for field, body := range map[string]map[string]any{
		"attributes": {"domain": "x", "attributes": []int{1}},
		"default":    {"domain": "x", "default": true}, "domain": {"domain": "corp.example"},
		"web_certificate": {"domain": "x", "web_certificate": "11111111-1111-1111-1111-111111111111"}, "flow_recovery": {"domain": "x", "flow_recovery": "21111111-1111-1111-1111-111111111111"},
	} {
		if a := s.Do(t, s.AdminKey, "POST", "/core/brands/", body); a.Status != 400 || a.At(field, 0) == nil {
			t.Errorf("%v: %d %s; want a 400 on %s", body, a.Status, a.Text, field)
		}
	}
	s.Must(t, 403, s.AnnKey, "GET", "/core/brands/", nil)
	s.Must(t, 204, s.AdminKey, "DELETE", one, nil)
	if a := current(); a.At("matched_domain") != "fallback" {
		t.Errorf("after the delete: %s", a.Text)
	}
}

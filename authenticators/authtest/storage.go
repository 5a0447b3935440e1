package authtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"countersign/core/user"
)

// A dump of the database shows no secret of a device: not while it is set up, not after, and not after a login.
func dump(t *testing.T, s Suite) {
	w := s.world(t)
	ann := w.person(t, "ann")
	br := w.Browser(setUpFlow)
	br.LogIn(t, ann)
	page := br.Get(t).Want(t, w.pages)
	during := w.text(t)
	dev := w.Enrol(t, br, page)
	if len(dev.Secrets) == 0 {
		t.Skip("the server holds no secret of this kind")
	}
	after := w.text(t)
	w.Clock.Advance(ages)
	d := w.devices(t, ann)[0]
	login := w.login(t, ann)
	if dev.Wrong != nil {
		choose(t, login, d)
		login.Post(t, dev.Wrong(t))
		w.Clock.Advance(ages)
		login = w.login(t, ann)
	}
	body := dev.Right(t, choose(t, login, d))
	login.Post(t, body).WantContinue(t)
	secrets := dev.Secrets
	if code, ok := body[w.Kind.Field].(string); ok && !w.Kind.NamesDevice {
		secrets = append(secrets, code)
	}
	for when, text := range map[string]string{"while it is set up": during, "after": after, "after a login": w.text(t)} {
		for _, secret := range secrets {
			for _, form := range []string{
				secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
			} {
				// A short code stands by chance in times and hashes: only as a word of its own it is one.
				if len(form) >= 8 && strings.Contains(text, form) || strings.Contains(text, `"`+form+`"`) {
					t.Errorf("%s, the database holds %q", when, form)
				}
			}
		}
	}
}

// text is every row of every table.
func (w *world) text(t testing.TB) string {
	t.Helper()
	ctx := context.Background()
	rows, _ := w.Direct.Query(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, n := range names {
		var part string
		err := w.Direct.QueryRow(ctx, `SELECT coalesce(string_agg(to_jsonb(x)::text, E'\n'), '') FROM `+pgx.Identifier{n}.Sanitize()+` x`).Scan(&part)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(part)
	}
	return out.String()
}

// deviceAPI holds the resource to core.md §5.
func deviceAPI(t *testing.T, s Suite) {
	w := s.world(t)
	if w.Path == "" {
		t.Skip("the kind has no devices in the API")
	}
	ann, bob := w.person(t, "ann"), w.person(t, "bob")
	dev, mine := w.enrol(t, ann)
	_, theirs := w.enrol(t, bob)
	row, admin := w.Path+mine.UID+"/", adminPath(w.Path)

	for _, c := range []struct {
		who  *user.User
		path string
		want float64
	}{{ann, w.Path, 1}, {nil, w.Path, 2}, {nil, admin, 2}} {
		if n := w.as(c.who).Want(t, 200, "GET", c.path, nil).Object(t)["pagination"].(map[string]any)["count"]; n != c.want {
			t.Errorf("%s lists %v, want %v", c.path, n, c.want)
		}
	}

	got := w.as(ann).Want(t, 200, "GET", row, nil)
	for _, secret := range dev.Secrets {
		if strings.Contains(got.Raw, secret) {
			t.Errorf("the API shows %q: %s", secret, got.Raw)
		}
	}
	if name := got.Object(t)["name"]; name != mine.Name {
		t.Errorf("the name is %v, want %q", name, mine.Name)
	}
	w.as(ann).Want(t, 200, "PATCH", row, map[string]any{"name": "In my pocket", "confirmed": false, "user": bob.ID})
	if d := w.devices(t, ann); len(d) != 1 || d[0].Name != "In my pocket" || d[0].UID != mine.UID {
		t.Errorf("after a change the device is %+v", d)
	}
	w.as(ann).Want(t, 400, "PATCH", row, map[string]any{"name": ""})
	w.as(ann).Want(t, 400, "PUT", row, map[string]any{})
	longest := cmp.Or(w.NameLength, 64)
	w.as(ann).Want(t, 400, "PATCH", row, map[string]any{"name": strings.Repeat("ä", longest+1)})
	w.as(ann).Want(t, 200, "PATCH", row, map[string]any{"name": strings.Repeat("ä", longest)})
	w.as(ann).Want(t, 200, "GET", row+"used_by/", nil)

	// Others' devices: not there for people, not on this path for administrators.
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		body := map[string]any{"name": "x"}
		w.as(bob).Want(t, 404, method, row, body)
		w.as(nil).Want(t, 403, method, row, body)
		w.as(bob).Want(t, 403, method, admin+mine.UID+"/", body)
	}
	w.as(bob).Want(t, 403, "GET", admin, nil)
	anonymous := w.as(nil)
	anonymous.As = nil
	for _, path := range []string{w.Path, row, admin, admin + mine.UID + "/"} {
		anonymous.Want(t, 403, "GET", path, nil)
	}
	// Nobody makes a device without its owner.
	for _, path := range []string{w.Path, admin} {
		if r := w.as(nil).Do(t, "POST", path, map[string]any{"name": "x"}); r.Status != http.StatusBadRequest && r.Status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d %s", path, r.Status, r.Raw)
		}
	}
	w.as(nil).Want(t, 200, "PATCH", admin+mine.UID+"/", map[string]any{"name": "Found"})
	w.as(nil).Want(t, 204, "DELETE", admin+mine.UID+"/", nil)
	w.as(ann).Want(t, 404, "GET", row, nil)
	w.as(bob).Want(t, 204, "DELETE", w.Path+theirs.UID+"/", nil)
	n := w.Count(t, `SELECT count(*) FROM events WHERE action = 'model_deleted'
		AND (context->'model'->>'app') || '.' || (context->'model'->>'model_name') = $1`, w.Kind.Model)
	if n != 2 {
		t.Errorf("%d events tell of the removals, want 2", n)
	}
	if n := len(w.devices(t, ann)) + len(w.devices(t, bob)); n != 0 {
		t.Errorf("%d devices are left", n)
	}
}

// adminPath is /authenticators/admin/<kind>/ of /authenticators/<kind>/.
func adminPath(path string) string {
	return strings.Replace(path, "/authenticators/", "/authenticators/admin/", 1)
}

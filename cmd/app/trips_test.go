package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/cmd/app"
	"countersign/core/dbtest"
)

// trips counts round trips to the database: statements, and batches as one.
type trips struct{ n atomic.Int64 }

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.n.Add(1)
	return ctx
}
func (c *trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// counted starts a server whose round trips to the database are counted. visitor is a new browser: it sends to the login flow a
// body, or looks at the page with "", and tells what that cost.
func counted(t *testing.T) (pool *pgxpool.Pool, visitor func() func(body string) (status int, text string, cost int64)) {
	t.Helper()
	n := &trips{}
	pool = dbtest.Pool(t)
	log := &lockedBuffer{}
	c := app.Defaults()
	c.Listen, c.DataDir, c.SecretKey, c.Worker, c.Database.URL = "127.0.0.1:0", "", strings.Repeat("k", 40), false, pool.Config().ConnString()
	o := options(t, log)
	o.Tracer, o.Log = n, slog.New(slog.DiscardHandler)
	a, err := app.Open(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return pool, func() func(body string) (status int, text string, cost int64) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Jar: jar, CheckRedirect: direct.CheckRedirect}
		url := strings.TrimSuffix(a.URL(), "/") + "/api/v3/flows/executor/default-authentication-flow/?query="
		return func(body string) (status int, text string, cost int64) {
			t.Helper()
			method, before := http.MethodGet, n.n.Load()
			if body != "" {
				method = http.MethodPost
			}
			req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			raw, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res.StatusCode, string(raw), n.n.Load() - before
		}
	}
}

// However many devices of however many kinds a user has, the validation stage shows them in three round trips: session and
// plan, devices, the plan again.
func TestTripsOfValidation(t *testing.T) {
	t.Parallel()
	pool, visitor := counted(t)
	for _, sql := range []string{
		`INSERT INTO totp_devices (user_id, name, confirmed, key_sealed) SELECT id, 'app ' || n, true, '\x00' FROM users, generate_series(1, 4) n WHERE username = 'akadmin'`,
		`INSERT INTO static_devices (user_id, name, confirmed, key_sealed, code_length) SELECT id, 'codes ' || n, true, '\x00', 8 FROM users, generate_series(1, 4) n WHERE username = 'akadmin'`,
		`INSERT INTO mobile_devices (uuid, user_id, name, confirmed, device_uid, info, push_channel)
			SELECT gen_random_uuid(), id, 'phone ' || n, true, n, '{}', 'fcm' FROM users, generate_series(1, 4) n WHERE username = 'akadmin'`,
		`INSERT INTO webauthn_devices (user_id, name, confirmed, credential_id, public_key, aaguid, rp_id, backup_eligible, backup_state, attestation)
			SELECT id, 'key ' || n, true, decode(lpad(n::text, 32, '0'), 'hex'), '\x00', gen_random_uuid(), '', false, false, '{}' FROM users, generate_series(1, 8) n WHERE username = 'akadmin'`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ask := visitor()
	for _, body := range []string{"", `{"uid_field":"akadmin"}`, "", fmt.Sprintf(`{"password":%q}`, adminPassword)} {
		if status, text, _ := ask(body); status != 200 && status != 302 {
			t.Fatalf("%s: %d %s", body, status, text)
		}
	}
	status, text, cost := ask("")
	if n := strings.Count(text, `"device_class"`); status != 200 || n != 13 { // the passkeys are asked together
		t.Fatalf("%d devices are offered: %d %s", n, status, text)
	}
	if cost > 3 {
		t.Errorf("the first page takes %d round trips", cost)
	}
	if _, _, cost := ask(""); cost > 1 {
		t.Errorf("the page again takes %d round trips", cost)
	}
}

// avatars are made of the name that was typed.
var avatars = regexp.MustCompile(`"pending_user_avatar":"[^"]*"`)

// T10: whoever tries a name and a password cannot tell whether there is such a user, nor whether they have a phone: the pages are the
// same, and so are the statements behind them.
func TestTripsTellNothingOfUsers(t *testing.T) {
	t.Parallel()
	pool, visitor := counted(t)
	for _, sql := range []string{
		`INSERT INTO users (uuid, username, password) SELECT gen_random_uuid(), n, u.password FROM users u, unnest(ARRAY['withphone', 'deviceles']) n WHERE u.username = 'akadmin'`,
		`INSERT INTO mobile_devices (uuid, user_id, name, confirmed, device_uid, info, push_channel)
			SELECT gen_random_uuid(), id, 'phone', true, 'x', '{}', 'fcm' FROM users WHERE username = 'withphone'`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	visitor()("") // what the first request alone does
	var want string
	for range 3 {
		for _, name := range []string{"withphone", "deviceles", "noneofus!"} {
			ask, seen := visitor(), ""
			for _, body := range []string{"", fmt.Sprintf(`{"uid_field":%q}`, name), "", `{"password":"wrong"}`, ""} {
				status, text, cost := ask(body)
				seen += fmt.Sprintf("%s: %d, %d round trips, %s\n", strings.ReplaceAll(body, name, "NAME"), status, cost, avatars.ReplaceAllString(strings.ReplaceAll(text, name, "NAME"), ""))
			}
			if want == "" {
				want = seen
			}
			if seen != want {
				t.Errorf("%s gets\n%s\ninstead of\n%s", name, seen, want)
			}
		}
	}
}

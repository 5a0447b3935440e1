package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"countersign/cmd/app"
	"countersign/simulator/browser"
)

// TestDatabaseDump: whoever has a copy of the database, and not the server's key, finds no seed, code, token, key or password
// in it, of what is set up nor of what is under way.
func TestDatabaseDump(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *app.Config) { c.Worker = true })
	used := w.codes[0]
	w.works("to leave traces")

	visitor := w.node.browser(nil)
	w.login(visitor, "visitor", words)
	_, totpPage := w.setUp("drafts", "default-authenticator-totp-setup")
	config, err := url.Parse(totpPage["config_url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	_, staticPage := w.setUp("drafts", "default-authenticator-static-setup")
	_, phonePage := w.setUp("drafts", app.MobileSetupFlow)
	smsDraft, _ := w.setUp("drafts", "sms")
	w.walk(smsDraft, "sms", map[string]any{"phone_number": numberThree})
	w.factor(w.node.browser(nil), map[string]any{"uid_field": "totp"}) // a login that is left

	secrets := map[string]string{
		"server key": keyA, "password": words, "administrator's password": adminPassword, "administrator's token": adminToken,
		"API token": w.token, "app password": w.appPass, "seed": w.seed, "raw seed": w.rawSeed(), "used recovery code": used,
		"number": numberOne, "verified number": numberTwo, "number of a set-up": numberThree, "SMS account": smsAuth, "SMS password": smsPassword,
		"Duo secret": duoSecret, "Duo admin secret": duoAdmin, "phone's token": w.account.Token(),
		"session": sid(t, visitor), "session of a set-up": sid(t, smsDraft),
		"seed of a set-up": config.Query().Get("secret"), "phone's token of a set-up": phonePage["payload"].(map[string]any)["t"].(string),
	}
	for i, code := range w.codes {
		secrets[fmt.Sprint("recovery code ", i)] = code
	}
	for i, code := range staticPage["codes"].([]any) {
		secrets[fmt.Sprint("recovery code of a set-up ", i)] = code.(string)
	}
	eventually(t, "a background job is there", func() bool {
		var some bool
		err := w.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM river.river_job)`).Scan(&some)
		return err == nil && some
	})
	dump := w.dump()
	for _, number := range []string{numberOne, numberThree} { // a code is short: elsewhere it may stand by chance
		if code := regexp.MustCompile(`(^|[^0-9a-f.])` + w.gateway.code(number) + `($|[^0-9a-f])`).FindString(dump); code != "" {
			t.Errorf("the code that was sent to %s is in the dump: %q", number, code)
		}
	}
	for name, secret := range secrets {
		if len(secret) < 10 {
			t.Fatalf("%s is %q", name, secret)
		}
		for form, text := range map[string]string{
			"text": secret, "JSON": quoted(secret), "hexadecimal": hex.EncodeToString([]byte(secret)),
			"base64": inBase64(secret, 0), "base64, one on": inBase64(secret, 1), "base64, two on": inBase64(secret, 2),
		} {
			if at := strings.Index(dump, text); at >= 0 {
				t.Errorf("%s as %s: …%s…", name, form, dump[max(0, at-200):min(len(dump), at+200)])
			}
		}
	}
	for what, text := range map[string]string{"people": "visitor", "devices": "SMS Device", "events": "model_created", "jobs": "collect_sessions"} {
		if !strings.Contains(dump, text) {
			t.Errorf("the dump of %d bytes shows no %s: something is wrong with this test", len(dump), what)
		}
	}
}

// dump is every row of every table, with those of the background jobs, as PostgreSQL writes them: bytes as hexadecimal digits.
func (w *world) dump() string {
	w.t.Helper()
	ctx := w.t.Context()
	rows, err := w.pool.Query(ctx, `SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`)
	if err != nil {
		w.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, table := range tables {
		rows, err := w.pool.Query(ctx, "SELECT t::text FROM "+table+" t")
		if err != nil {
			w.t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			w.t.Fatal(err)
		}
		for _, line := range lines {
			fmt.Fprintf(&b, "%s: %s\n", table, line)
		}
	}
	return b.String()
}

// sid is the secret of a browser's session.
func sid(t *testing.T, b *browser.Browser) string {
	t.Helper()
	parts := strings.Split(b.Cookie("authentik_session"), ".")
	if len(parts) != 3 {
		t.Fatalf("the cookie is %v", parts)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ SID string }
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.SID
}

func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return strings.Trim(string(raw), `"`)
}

// inBase64 is what stands in a base64 text that has s after some other bytes, whatever these and what follows are.
func inBase64(s string, before int) string {
	text := base64.StdEncoding.EncodeToString(append(make([]byte, before), s...))
	first := []int{0, 2, 3}[before]
	return text[first : len(strings.TrimRight(text, "="))-1]
}

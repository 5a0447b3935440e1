package app_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/simulator/browser"
)

// rekey runs the command beside the server and gives its exit code and what it said.
func (w *world) rekey(keys []string, args ...string) (int, string) {
	w.t.Helper()
	p := run(w.t, []string{
		"COUNTERSIGN_SECRET_KEY=" + keys[0], "COUNTERSIGN_OLD_SECRET_KEYS=" + strings.Join(keys[1:], ","),
		"COUNTERSIGN_DATABASE_URL=" + w.pool.Config().ConnString(),
	}, append([]string{"rekey"}, args...)...)
	return p.exit(), p.out.String()
}

// TestKeyRotation: with a new key and the old one beside it everything works; sealed anew, everything works without the old
// one, but for what only a signature or a keyed hash of it stands for.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(*app.Config) {})
	// A second factor is remembered for an hour.
	stages := w.api(200, "GET", "/stages/authenticator/validate/?name=default-authentication-mfa-validation", nil)["results"].([]any)
	w.api(200, "PATCH", "/stages/authenticator/validate/"+stages[0].(map[string]any)["pk"].(string)+"/", map[string]any{"last_auth_threshold": "hours=1"})
	w.works("before")

	remembered, visitor, returner := w.node.browser(nil), w.node.browser(nil), w.node.browser(nil)
	w.login(remembered, "totp", words)
	w.want("totp", w.factor(remembered, map[string]any{"code": w.code()}), doneFlow)
	w.login(visitor, "visitor", words)
	w.login(returner, "returner", words)
	totpDraft, totpPage := w.setUp("drafts", "default-authenticator-totp-setup")
	phoneDraft, phonePage := w.setUp("drafts", app.MobileSetupFlow)
	smsDraft, _ := w.setUp("drafts", "sms")
	w.walk(smsDraft, "sms", map[string]any{"phone_number": numberThree})

	both, only := []string{keyB, keyA}, []string{keyB}
	w.serve(both...)
	w.works("with both keys")
	if code, out := w.rekey(both, "--check"); code != 1 || !strings.Contains(out, "need an older key") {
		t.Errorf("the check before: %d\n%s", code, out)
	}
	if !w.taken() {
		t.Error("with both keys the verified number is free")
	}
	if w.me(returner) != 200 { // which signs its cookie anew
		t.Error("with both keys a session is over")
	}
	w.walk(remembered, "default-invalidation-flow", nil) // logged out, but not forgotten
	w.want("with both keys: the remembered factor", w.login(remembered, "totp", words), doneFlow)
	w.walk(remembered, "default-invalidation-flow", nil)
	if p := w.walk(totpDraft, "default-authenticator-totp-setup", nil); p["config_url"] != totpPage["config_url"] {
		t.Errorf("with both keys: the set-up of totp shows %v", p)
	}
	if p := w.walk(phoneDraft, app.MobileSetupFlow, nil); fmt.Sprint(p["payload"]) != fmt.Sprint(phonePage["payload"]) {
		t.Errorf("with both keys: the set-up of a phone shows %v", p)
	}
	w.want("with both keys: the set-up of sms", w.walk(smsDraft, "sms", map[string]any{"code": w.gateway.code(numberThree)}), doneFlow)

	code, out := w.rekey(both)
	if code != 0 || !strings.Contains(out, "sms_devices.phone_sealed: only a keyed hash") {
		t.Errorf("rekey: %d\n%s", code, out)
	}
	events := w.api(200, "GET", "/events/events/?action=secret_rotate", nil)
	if text := fmt.Sprint(events["results"]); !strings.Contains(text, "countersign rekey") || !strings.Contains(text, "column:totp_devices.key_sealed") {
		t.Errorf("the events are %s", text)
	}
	w.works("sealed anew, beside the same server")
	if code, out := w.rekey(both, "--check"); code != 0 {
		t.Errorf("the check after: %d\n%s", code, out)
	}

	w.serve(only...)
	w.works("with the new key")
	if code, out := w.rekey(only, "--check"); code != 0 {
		t.Errorf("the check at the end: %d\n%s", code, out)
	}
	if w.me(returner) != 200 {
		t.Error("a session whose cookie was signed anew is over")
	}
	// What ends with the old key, and how.
	if got := w.me(visitor); got != 403 {
		t.Errorf("a session of the old key: %d", got)
	}
	w.want("the remembered factor of the old key", w.login(remembered, "totp", words), mfaComponent)
	if w.taken() {
		t.Error("the hash of the verified number is still known")
	}
	for name, d := range map[string]struct {
		b    *browser.Browser
		slug string
	}{"totp": {totpDraft, "default-authenticator-totp-setup"}, "a phone": {phoneDraft, app.MobileSetupFlow}, "sms": {smsDraft, "sms"}} {
		if c := w.walk(d.b, d.slug, nil); c["component"] != "ak-stage-access-denied" && c["component"] != doneFlow {
			t.Errorf("a set-up of %s in a session that is over: %v", name, c)
		}
	}
}

// TestKeyLost: when the old key is taken away too early, nothing falls over; what does not open says so.
func TestKeyLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(*app.Config) {})
	w.serve(keyB)
	n := w.node
	if a := n.call("GET", "/api/v3/core/users/me/", w.token, nil); a.status != 200 {
		t.Errorf("the token of the API: %d %s", a.status, a.body)
	}
	if a := n.call("GET", "/api/v3/core/tokens/machine/view_key/", adminToken, nil); a.status != 409 || !strings.Contains(a.body, "It still works") {
		t.Errorf("the token's key: %d %s", a.status, a.body)
	}
	if err := w.phone.CheckIn(t.Context()); err != nil {
		t.Errorf("the phone checks in: %v", err)
	}
	if err := w.phone.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "503") { // a phone that checks who asks
		t.Errorf("the phone fetches what waits: %v", err)
	}
	for user, code := range map[string]string{"totp": w.code(), "static": w.codes[0]} {
		b := n.browser(nil)
		w.login(b, user, words)
		if c := w.factor(b, map[string]any{"code": code}); !strings.Contains(fmt.Sprint(c["response_errors"]), "cannot be checked at the moment") {
			t.Errorf("%s: %v", user, c)
		}
	}
	b := n.browser(nil)
	offer := w.login(b, "sms", words)["device_challenges"].([]any)[0].(map[string]any)
	if c := w.factor(b, map[string]any{"selected_challenge": offer}); !strings.Contains(fmt.Sprint(c["response_errors"]), "could not be sent") {
		t.Errorf("sms: %v", c)
	}
	if text := w.duoFault(); !strings.Contains(text, "key that is not configured") {
		t.Errorf("duo: %s", text)
	}
	w.api(200, "GET", "/authenticators/admin/sms/", nil)

	code, out := w.rekey([]string{keyB})
	if code != 1 || !strings.Contains(out, "totp_devices.key_sealed: sealed by a key that is not configured: 1") {
		t.Errorf("rekey: %d\n%s", code, out)
	}
	for _, secret := range []string{keyA, keyB, w.seed, duoSecret, smsPassword, w.token} {
		if strings.Contains(out, secret) {
			t.Errorf("rekey shows %q", secret)
		}
	}
	w.serve(keyB, keyA) // given back, all is well again
	w.works("given back")
}

// TestRekeyBesideServer changes the key of a server with its own PostgreSQL and its key in the data directory, as
// docs/authenticators.md says it.
func TestRekeyBesideServer(t *testing.T) {
	t.Parallel()
	dir, address := dataDir(t), freeAddress(t)
	base := "http://" + address
	environ := []string{"AUTHENTIK_BOOTSTRAP_TOKEN=" + adminToken, "AUTHENTIK_BOOTSTRAP_PASSWORD=" + adminPassword}
	rekey := func(environ []string, args ...string) (int, string) {
		t.Helper()
		p := run(t, environ, append([]string{"rekey", "--data-dir", dir}, args...)...)
		return p.exit(), p.out.String()
	}
	if code, out := rekey(nil); code != 1 || !strings.Contains(out, "no secret key") {
		t.Errorf("without a server: %d\n%s", code, out)
	}
	key, old := filepath.Join(dir, "secret_key"), filepath.Join(dir, "secret_key.old")
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}
	stop := func(p *process) {
		t.Helper()
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.exit()
	}
	first := run(t, environ, "serve", "--data-dir", dir, "--listen", address)
	first.ready(base)
	if code, out := rekey(nil, "--check"); code != 0 {
		t.Errorf("the check beside the first server: %d\n%s", code, out)
	}
	stop(first)

	if err := os.Rename(key, old); err != nil {
		t.Fatal(err)
	}
	environ = []string{"COUNTERSIGN_OLD_SECRET_KEYS_FILE=" + old}
	second := run(t, environ, "serve", "--data-dir", dir, "--listen", address)
	second.ready(base)
	if code, out := rekey(environ, "--check"); code != 1 {
		t.Errorf("the check beside the second server: %d\n%s", code, out)
	}
	if code, out := rekey(environ); code != 0 {
		t.Errorf("rekey beside the second server: %d\n%s", code, out)
	}
	stop(second)
	if code, out := rekey(nil, "--check"); code != 0 { // with a PostgreSQL of its own, as none runs
		t.Errorf("the check without the old key: %d\n%s", code, out)
	}
	third := run(t, nil, "serve", "--data-dir", dir, "--listen", address)
	third.ready(base)
	status, body := get(t, base+"/api/v3/core/tokens/authentik-bootstrap-token/view_key/", adminToken)
	if status != http.StatusOK || !strings.Contains(body, adminToken) {
		t.Errorf("at the end: %d %s", status, body)
	}
}

// TestEverySealedColumnIsKnown: a column that is called sealed is one that rekey looks at.
func TestEverySealedColumnIsKnown(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	if err := app.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(t.Context(), `SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND column_name LIKE '%sealed%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(columns) == 0 {
		t.Fatalf("%v, %v", columns, err)
	}
	w := &world{t: t, pool: pool}
	code, out := w.rekey([]string{keyB}, "--check")
	known := strings.Fields(out)
	for _, c := range columns {
		if code != 0 || !slices.Contains(known, c) {
			t.Errorf("rekey does not look at %s: %d\n%s", c, code, out)
		}
	}
}

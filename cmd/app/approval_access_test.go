package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/mobile"
	"countersign/simulator/phone"
)

// commands are the indented blocks of a page of the documentation.
func commands(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	inside := false
	for line := range strings.Lines(string(text)) {
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case indented && !inside:
			blocks = append(blocks, code)
		case indented:
			blocks[len(blocks)-1] += code
		}
		inside = indented
	}
	return blocks
}

// shell runs commands and gives what they print.
func (n *node) shell(ctx context.Context, script string, env ...string) string {
	n.t.Helper()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				n.t.Fatal(err)
			}
			n.t.Skip(err)
		}
	}
	script = strings.ReplaceAll(script, "http://localhost:9000", n.base)
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("%v\n%s%s\nof: %s", err, out, errs.String(), script)
	}
	return string(out)
}

// The commands of docs/approvals.md do what it says, as they stand there: a service account with the permission asks, waits and
// cancels.
func TestApprovalCommands(t *testing.T) {
	t.Parallel()
	n, pool, user, p := approving(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	blocks := commands(t, "approvals.md")
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of commands", len(blocks))
	}
	env := []string{"admin=" + adminToken, fmt.Sprintf("user=%d", user)}
	p.SetBehaviour(phone.Approve(nil)) // where there is a button alone, no screen is read
	out := n.shell(ctx, blocks[0]+blocks[1]+`echo "$token"`, env...)
	status, token, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if status != "approved" || token == "" {
		t.Fatalf("the commands print %q", out)
	}
	p.SetBehaviour(phone.Ignore)
	again := strings.Replace(blocks[1], "order-117'", "order-118'", 1)
	again, _, _ = strings.Cut(again, `curl -sf "$approvals/$id/?wait`)
	id := strings.TrimSpace(n.shell(ctx, "api=http://localhost:9000/api/v3\njson='Content-Type: application/json'\n"+again+blocks[2]+`echo "$id"`, append(env, "token="+token)...))
	if got := n.status(id, ""); got.Status != "cancelled" {
		t.Errorf("after the cancelling: %+v", got)
	}

	// The permission is for that alone, and for what the application asked itself.
	_, other := n.ask(user, "", payment())
	for _, path := range []string{approvals + other.ID + "/", "/api/v3/core/users/1/", "/api/v3/authenticators/admin/mobile/blocks/"} {
		if got := n.call(http.MethodGet, path, token, nil); got.status != http.StatusNotFound && got.status != http.StatusForbidden {
			t.Errorf("the application sees %s: %d %s", path, got.status, got.body)
		}
	}
	if got := n.call(http.MethodGet, approvals, token, nil); strings.Contains(got.body, other.ID) || !strings.Contains(got.body, id) {
		t.Errorf("the application lists %s", got.body)
	}
	if got := n.call(http.MethodDelete, approvals+other.ID+"/", token, nil); got.status != http.StatusNotFound {
		t.Errorf("the application cancels another's: %d %s", got.status, got.body)
	}

	// Taken away, it is gone at once.
	if _, err := pool.Exec(ctx, `UPDATE users SET attributes = '{}' WHERE username = 'shop'`); err != nil {
		t.Fatal(err)
	}
	if got := n.call(http.MethodGet, approvals, token, nil); got.status != http.StatusForbidden {
		t.Errorf("without the permission: %d %s", got.status, got.body)
	}
}

// Nobody may ask by default, whatever else they are; the permission may come by a group, and its list must hold just its name.
func TestApprovalPermission(t *testing.T) {
	t.Parallel()
	n, pool, user, _ := approving(t, nil)
	token := n.plainUser(t, pool)
	request := map[string]any{"user": user, "fields": payment()}
	may := func(what string, want int) {
		t.Helper()
		if got := n.call(http.MethodPost, approvals, token, request); got.status != want {
			t.Errorf("%s: %d %s, want %d", what, got.status, got.body, want)
		}
	}
	attributes := func(table, name, value string) {
		t.Helper()
		column := map[string]string{"users": "username", "groups": "name"}[table]
		if _, err := pool.Exec(t.Context(), fmt.Sprintf(`UPDATE %s SET attributes = $1 WHERE %s = $2`, table, column), json.RawMessage(value), name); err != nil {
			t.Fatal(err)
		}
	}
	may("nobody gave it", http.StatusForbidden)
	for _, value := range []string{
		`{"goauthentik.io/user/permissions": "` + mobile.PermissionApprovals + `"}`, `{"goauthentik.io/user/permissions": ["*"]}`,
		`{"goauthentik.io/user/permissions": [{"x": 1}, "authentik_stages_authenticator_mobile.*"]}`, `{"permissions": ["` + mobile.PermissionApprovals + `"]}`,
	} {
		attributes("users", "plain", value)
		may(value, http.StatusForbidden)
	}
	attributes("users", "plain", `{}`)
	if _, err := pool.Exec(t.Context(), `WITH g AS (INSERT INTO groups (group_uuid, name) VALUES (gen_random_uuid(), 'shops') RETURNING group_uuid)
		INSERT INTO group_members (group_uuid, user_id) SELECT g.group_uuid, u.id FROM g, users u WHERE u.username = 'plain'`); err != nil {
		t.Fatal(err)
	}
	may("a group without it", http.StatusForbidden)
	attributes("groups", "shops", `{"goauthentik.io/user/permissions": ["authentik_core.view_user", "`+mobile.PermissionApprovals+`"]}`)
	may("by a group", http.StatusCreated)
	// What else is listed counts for nothing.
	if got := n.call(http.MethodGet, fmt.Sprintf("/api/v3/core/users/%d/", user), token, nil); got.status != http.StatusNotFound && got.status != http.StatusForbidden {
		t.Errorf("another permission of the list: %d %s", got.status, got.body)
	}
}

// plainUser makes a user, plain, who is in no group, and an API token of theirs.
func (n *node) plainUser(t *testing.T, pool *pgxpool.Pool) (token string) {
	t.Helper()
	made := n.call(http.MethodPost, "/api/v3/core/users/", adminToken, map[string]any{"username": "plain", "name": "Plain"})
	var u struct{ PK int }
	if err := json.Unmarshal([]byte(made.body), &u); err != nil || made.status != http.StatusCreated {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if got := n.call(http.MethodPost, "/api/v3/core/tokens/", adminToken, map[string]any{"identifier": "plain", "intent": "api", "user": u.PK}); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var key struct{ Key string }
	shown := n.call(http.MethodGet, "/api/v3/core/tokens/plain/view_key/", adminToken, nil)
	if err := json.Unmarshal([]byte(shown.body), &key); err != nil || key.Key == "" {
		t.Fatalf("%d %s", shown.status, shown.body)
	}
	return key.Key
}

// An application that answers by a redirection, or that it is gone, is not called again and nowhere else, and an event says that it was
// not told.
func TestApprovalWebhookGivenUp(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls <- r.URL.Path
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case "/gone":
			w.WriteHeader(http.StatusGone)
		}
	}))
	t.Cleanup(server.Close)
	pool := dbtest.Pool(t)
	n := start(t, func(c *app.Config) {
		c.Database.URL, c.Worker = pool.Config().ConnString(), true
		c.Mobile.Webhooks.AllowedHosts = []string{strings.TrimPrefix(server.URL, "http://")}
	})
	p, _ := n.enrolledAs(phone.Options{Signs: true, Behaviour: phone.Approve(nil)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for path, want := range map[string]string{"/moved": "the webhook answered 307", "/gone": "the webhook answered 410"} {
		reply, a := n.askWith("", map[string]any{"username": "akadmin", "fields": payment(), "webhook": server.URL + path})
		if reply.status != 201 {
			t.Fatalf("%d %s", reply.status, reply.body)
		}
		if _, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.TxID == a.ID && r.State == phone.Answered }); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-calls:
			if got != path {
				t.Errorf("called %s, want %s", got, path)
			}
		case <-ctx.Done():
			t.Fatal("the application is not told")
		}
		var failed string
		eventually(t, "an event about "+path, func() bool {
			err := pool.QueryRow(ctx, `SELECT coalesce(max(context->>'error'), '') FROM events
				WHERE action = 'custom_mobile_approval_webhook_failed' AND context->>'transaction' = $1`, strings.ReplaceAll(a.ID, "-", "")).Scan(&failed)
			if err != nil {
				t.Fatal(err)
			}
			return failed != ""
		})
		if failed != want {
			t.Errorf("%s: the event says %q, want %q", path, failed, want)
		}
	}
	if len(calls) > 0 {
		t.Errorf("called %s too", <-calls)
	}
}

// Where the owner's key is demanded, a phone whose keys have just changed is not asked until the cool-down is over.
func TestApprovalCoolDown(t *testing.T) {
	t.Parallel()
	n, pool, user, p := approving(t, phone.Ignore)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := pool.Exec(ctx, `UPDATE stages SET settings = settings || '{"cooldown": "hours=2", "accepted_answers": "signed_user_verified"}'
		WHERE stage_uuid IN (SELECT stage FROM mobile_devices)`); err != nil {
		t.Fatal(err)
	}
	if got, a := n.ask(user, "", payment()); got.status != 201 {
		t.Fatalf("before any change: %d %s", got.status, got.body)
	} else if got := n.call(http.MethodDelete, approvals+a.ID+"/", adminToken, nil); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if err := p.RotateKeys(ctx, p.Accounts()[0].Device); err != nil {
		t.Fatal(err)
	}
	got, _ := n.ask(user, "", payment())
	if got.status != http.StatusTooManyRequests || !strings.Contains(got.body, `"cooldown"`) || len(got.header.Get("Retry-After")) != len("7200") {
		t.Errorf("%d %s, retry after %s", got.status, got.body, got.header.Get("Retry-After"))
	}
}

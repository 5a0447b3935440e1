package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/core/mail"
	"countersign/core/mail/mailtest"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

// mailed sets up a server to send mails through the given one.
func mailed(s *mailtest.Server) func(c *app.Config) {
	return func(c *app.Config) {
		c.Worker = true
		c.Mail.Host, c.Mail.Port, c.Mail.TLS, c.Mail.From = "127.0.0.1", s.Port, mail.NoTLS, "Countersign <login@example.org>"
	}
}

// address gives akadmin a mail address, past the API.
func address(t *testing.T, pool *pgxpool.Pool) (id int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), `UPDATE users SET email = 'root@example.com' WHERE username = 'akadmin' RETURNING id`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// told waits for a mail and checks that both its forms hold the words.
func told(t *testing.T, s *mailtest.Server, to string, words ...string) {
	t.Helper()
	m := s.Next()
	if m.To != to {
		t.Errorf("the mail goes to %s, want %s:\n%s", m.To, to, m.Text)
	}
	for _, w := range words {
		if !strings.Contains(m.Text, w) || !strings.Contains(m.HTML, w) {
			t.Errorf("the mail lacks %q:\n%s\n%s", w, m.Text, m.HTML)
		}
	}
}

// TestMails: what people do to their accounts through the real API, and what their mailboxes say of it.
func TestMails(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Options{})
	n := start(t, mailed(server))
	ctx, pool := t.Context(), n.app.Pool()
	admin := address(t, pool)

	b := n.browser(nil)
	if result, err := b.Login(ctx, "akadmin", adminPassword); err != nil || result.Outcome != browser.NoPhone {
		t.Fatalf("log in: %v, %+v", err, result)
	}
	p, account := n.enrolled(phone.Ignore)
	told(t, server, "root@example.com", "was added", "Mobile Device", "127.0.0.1", "/if/user/", "Countersign")
	if err := p.RotateAddress(ctx); err != nil {
		t.Fatal(err)
	}
	told(t, server, "root@example.com", "another address", "Mobile Device")

	const flow = "/api/v3/flows/executor/default-authenticator-static-setup/?query="
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		var body any
		if method == http.MethodPost {
			body = map[string]any{}
		}
		if r, err := b.Do(ctx, method, flow, body); err != nil || r.Status >= 400 {
			t.Fatalf("set up codes: %v, %d %s", err, r.Status, r.Body)
		}
	}
	told(t, server, "root@example.com", "was added", "Static")

	if r, err := b.Do(ctx, http.MethodDelete, fmt.Sprintf("/api/v3/authenticators/mobile/%s/", account.Device), nil); err != nil || r.Status != http.StatusNoContent {
		t.Fatalf("remove the phone: %v, %d %s", err, r.Status, r.Body)
	}
	told(t, server, "root@example.com", "was removed", "Mobile Device")

	// The other kinds, removed by an administrator: the owner is told.
	var ada int
	if err := pool.QueryRow(ctx, `INSERT INTO users (uuid, username, email) VALUES (gen_random_uuid(), 'ada', 'ada@example.com') RETURNING id`).Scan(&ada); err != nil {
		t.Fatal(err)
	}
	for kind, c := range map[string]struct{ sql, label string }{
		"totp":   {`INSERT INTO totp_devices (user_id, name, confirmed, key_sealed) VALUES ($1, 'mine', true, '\x00') RETURNING id`, "TOTP"},
		"static": {`INSERT INTO static_devices (user_id, name, confirmed, key_sealed, code_length) VALUES ($1, 'mine', true, '\x00', 8) RETURNING id`, "Static"},
		"webauthn": {`INSERT INTO webauthn_devices (user_id, name, confirmed, credential_id, public_key, aaguid, rp_id, backup_eligible, backup_state, attestation)
			VALUES ($1, 'mine', true, '\x01', '\x00', gen_random_uuid(), '', false, false, '{}') RETURNING id`, "WebAuthn"},
		"sms": {`WITH s AS (INSERT INTO stages (stage_uuid, kind, name, settings) VALUES (gen_random_uuid(), 'authenticatorsmsstage', 'sms', '{}') RETURNING stage_uuid)
			INSERT INTO sms_devices (user_id, stage, name, confirmed, phone_hash) SELECT $1, stage_uuid, 'mine', true, '\x00' FROM s RETURNING id`, "SMS"},
		"duo": {`WITH s AS (INSERT INTO stages (stage_uuid, kind, name, settings) VALUES (gen_random_uuid(), 'authenticatorduostage', 'duo', '{}') RETURNING stage_uuid)
			INSERT INTO duo_devices (user_id, stage, name, confirmed, duo_user_id) SELECT $1, stage_uuid, 'mine', true, 'x' FROM s RETURNING id`, "Duo"},
	} {
		var id int
		if err := pool.QueryRow(ctx, c.sql, ada).Scan(&id); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if a := n.call(http.MethodDelete, fmt.Sprintf("/api/v3/authenticators/admin/%s/%d/", kind, id), adminToken, nil); a.status != http.StatusNoContent {
			t.Fatalf("remove %s: %d %s", kind, a.status, a.body)
		}
		told(t, server, "ada@example.com", "was removed", c.label, "mine", "somebody else")
	}

	path := fmt.Sprintf("/api/v3/core/users/%d/", ada)
	if a := n.call(http.MethodPatch, path, adminToken, map[string]any{"email": "lovelace@example.com"}); a.status != http.StatusOK {
		t.Fatalf("change the address: %d %s", a.status, a.body)
	}
	both := map[string]bool{}
	for range 2 {
		m := server.Next()
		both[m.To] = strings.Contains(m.Text, "ada@example.com") && strings.Contains(m.Text, "lovelace@example.com")
	}
	if !both["ada@example.com"] || !both["lovelace@example.com"] {
		t.Errorf("the addresses that are told of the change: %v", both)
	}
	if a := n.call(http.MethodPatch, path, adminToken, map[string]any{"name": "Ada"}); a.status != http.StatusOK {
		t.Fatalf("change the name: %d %s", a.status, a.body)
	}
	if a := n.call(http.MethodPost, path+"set_password/", adminToken, map[string]any{"password": "another horse battery"}); a.status != http.StatusNoContent {
		t.Fatalf("set the password: %d %s", a.status, a.body)
	}
	told(t, server, "lovelace@example.com", "password", "was changed")
	eventually(t, "each mail has its event", func() bool {
		return strings.Contains(n.call(http.MethodGet, "/api/v3/events/events/?action=email_sent", adminToken, nil).body, `"count":12`)
	})
	if len(server.Inbox) != 0 {
		t.Errorf("%d mails too many, the first: %s", len(server.Inbox), (<-server.Inbox).Text)
	}
	if a := n.call(http.MethodGet, fmt.Sprintf("/api/v3/core/users/%d/", admin), adminToken, nil); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestMailsWithoutWorker: a server without background jobs leaves its mails to countersign worker; one without a mail server
// leaves nothing.
func TestMailsWithoutWorker(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Options{})
	pool := dbtest.Pool(t)
	edit := func(c *app.Config) {
		mailed(server)(c)
		c.Worker, c.Database.URL = false, pool.Config().ConnString()
	}
	waiting := func() (n int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM mail_outbox`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	setPassword := func(n *node, id int) {
		t.Helper()
		if a := n.call(http.MethodPost, fmt.Sprintf("/api/v3/core/users/%d/set_password/", id), adminToken, map[string]any{"password": "another horse battery"}); a.status != http.StatusNoContent {
			t.Fatalf("set the password: %d %s", a.status, a.body)
		}
	}
	off := start(t, func(c *app.Config) { c.Database.URL = pool.Config().ConnString() })
	id := address(t, pool)
	setPassword(off, id)
	if waiting() != 0 {
		t.Error("a mail is queued without a mail server")
	}
	n := start(t, edit)
	setPassword(n, id)
	if waiting() != 1 || len(server.Inbox) != 0 {
		t.Errorf("%d mails wait, %d were sent", waiting(), len(server.Inbox))
	}

	c := app.Defaults()
	c.DataDir, c.SecretKey = "", strings.Repeat("k", 40)
	edit(&c)
	o := options(t, io.Discard)
	o.Log = slog.New(slog.DiscardHandler)
	worker, err := app.OpenWorker(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Work(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := worker.Close(); err != nil {
			t.Error(err)
		}
	}()
	told(t, server, "root@example.com", "password", "was changed")
	setPassword(n, id)
	told(t, server, "root@example.com", "password", "was changed")
}

func TestCheckMail(t *testing.T) {
	t.Parallel()
	c := app.Defaults()
	if configured, err := app.CheckMail(t.Context(), c); configured || err != nil {
		t.Errorf("without a server: %v, %v", configured, err)
	}
	server := mailtest.New(t, mailtest.Options{})
	mailed(server)(&c)
	if configured, err := app.CheckMail(t.Context(), c); !configured || err != nil {
		t.Errorf("with a server: %v, %v", configured, err)
	}
	c.Mail.TLS, c.Mail.Timeout = mail.StartTLS, 5*time.Second
	if configured, err := app.CheckMail(t.Context(), c); !configured || err == nil || !strings.Contains(err.Error(), "STARTTLS") {
		t.Errorf("without STARTTLS: %v, %v", configured, err)
	}
}

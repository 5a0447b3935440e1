package mail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/mail"
	"countersign/core/mail/mailtest"
	"countersign/core/rbac"
	"countersign/core/task"
)

const (
	app   = "authentik_stages_authenticator_totp"
	model = "totpdevice"
)

// bench is an installation that sends mails.
type bench struct {
	t      *testing.T
	pool   *pgxpool.Pool
	server *mailtest.Server
	mails  *mail.Service
	log    *buffer
	ann    int
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newBench(t *testing.T, o mailtest.Options) *bench {
	t.Helper()
	b := &bench{t: t, pool: dbtest.Pool(t), server: mailtest.New(t, o), log: &buffer{}}
	if err := task.Migrate(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	b.mails = b.node(o)
	b.ann = b.user("ann", "Ann", "ann@example.com")
	return b
}

// node is one more service on the same database.
func (b *bench) node(o mailtest.Options) *mail.Service {
	s := &mail.Service{
		Pool: b.pool, Sender: sender(b.t, settings(b.server, o)), Now: time.Now, Log: slog.New(slog.NewTextHandler(b.log, nil)),
		Devices: map[string]string{app + "." + model: "TOTP Device"},
		Site: func(_ context.Context, host string) (string, bool) {
			return "Example Login", host == "login.example.net"
		},
	}
	s.Events = &event.Log{Beside: s.Beside}
	return s
}

// work has a service's mails sent until the test ends, or until stop.
func (b *bench) work(s *mail.Service) (stop func()) {
	b.t.Helper()
	runner, err := task.New(b.pool, nil, task.Options{OneOffs: []task.OneOff{s.Job()}, Log: s.Log})
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start(runner)
	if err := runner.Start(context.Background()); err != nil {
		b.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), mailtest.Patience)
		defer cancel()
		if err := runner.Stop(ctx); err != nil {
			b.t.Error(err)
		}
		s.Stop()
	})
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) user(username, name, email string) (id int) {
	b.t.Helper()
	err := b.pool.QueryRow(b.t.Context(), `INSERT INTO users (uuid, username, name, email) VALUES (gen_random_uuid(), $1, $2, $3) RETURNING id`,
		username, name, email).Scan(&id)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func device(action event.Action, owner int, name string) event.Event {
	return event.Event{Action: action, Owner: owner, Context: map[string]any{"model": event.Model(7, app, model, name)}}
}

// emit writes an event as a deed does, in a transaction that also does something else.
func (b *bench) emit(ctx context.Context, e event.Event) {
	b.t.Helper()
	if err := db.InTx(ctx, b.pool, func(tx pgx.Tx) error { return b.mails.Events.Emit(ctx, tx, e) }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), "SELECT count(*) FROM "+sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// until waits for a condition of the database.
func (b *bench) until(what, sql string, args ...any) {
	b.t.Helper()
	for end := time.Now().Add(mailtest.Patience); b.count(sql, args...) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("it did not happen that %s\n%s", what, b.log)
		}
	}
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

// none checks that nothing is left to send and that no mail waits in the inbox.
func (b *bench) none() {
	b.t.Helper()
	if n := b.count("mail_outbox"); n != 0 {
		b.t.Errorf("%d mails are in the outbox", n)
	}
	if n := len(b.server.Inbox); n != 0 {
		b.t.Errorf("%d mails too many came", n)
	}
}

const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// by is the context of a request of somebody; 0 is nobody.
func by(ctx context.Context, actor int, host string) context.Context {
	o := &event.Origin{ClientIP: netip.MustParseAddr("192.0.2.7"), UserAgent: chrome, Method: "DELETE", Path: "/x/", Scheme: "https", Host: host}
	if actor != 0 {
		o.Actor = &rbac.Actor{ID: actor, Username: "actor"}
	}
	return event.WithOrigin(ctx, o)
}

func contains(t *testing.T, m mailtest.Mail, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(m.Text, w) {
			t.Errorf("the text lacks %q:\n%s", w, m.Text)
		}
		if !strings.Contains(strings.Join(strings.Fields(m.HTML), " "), strings.Trim(w, `"`)) {
			t.Errorf("the HTML lacks %q:\n%s", w, m.HTML)
		}
	}
}

func TestDeviceMails(t *testing.T) {
	t.Parallel()
	b := newBench(t, secured)
	b.work(b.mails)
	b.emit(by(t.Context(), b.ann, "login.example.net:8443"), device(event.ModelCreated, b.ann, "My app"))
	m := b.server.Next()
	if m.To != "ann@example.com" || m.Subject() != "Example Login: a way to log in was added to your account" || !strings.Contains(m.Header.Get("Content-Type"), "multipart/alternative") {
		t.Errorf("to %s, %q, %v", m.To, m.Subject(), m.Header)
	}
	contains(t, m, "ann", "TOTP Device", `"My app"`, "192.0.2.7", "Chrome on Linux", " UTC", "https://login.example.net:8443/if/user/", "administrator")
	if strings.Contains(m.Text, "somebody else") {
		t.Errorf("the owner did it:\n%s", m.Text)
	}
	b.until("the event is written", `events WHERE action = 'email_sent' AND context->>'subject' = $1 AND context->'to_email' = '["ann@example.com"]' AND context->>'from_email' = 'login@example.org'`, m.Subject())

	admin := b.user("admin", "", "")
	b.emit(by(t.Context(), admin, "evil.example"), device(event.ModelDeleted, b.ann, "My app"))
	m = b.server.Next()
	contains(t, m, "was removed", "somebody else", `"My app"`)
	if strings.Contains(m.Text+m.HTML, "evil") || strings.Contains(m.Text, "http") {
		t.Errorf("there is a link to a host that a client chose:\n%s", m.Text)
	}

	// The pending user of a set-up flow is the owner; nobody is logged in.
	e := device(event.ModelCreated, 0, "Other")
	e.User = &event.User{PK: b.ann, Username: "ann"}
	b.emit(by(t.Context(), 0, "auth.example.org"), e)
	contains(t, b.server.Next(), "was added", `"Other"`, "https://auth.example.org/if/user/") // below the domain of mail.from
	b.none()
}

func TestAccountMails(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.work(b.mails)
	changed := func(from, to string) event.Event {
		return event.Event{Action: event.ModelUpdated, Owner: b.ann, Context: map[string]any{
			"model": event.Model(b.ann, "authentik_core", "user", "ann"), "diff": map[string]any{"email": event.Changed{From: from, To: to}},
		}}
	}
	b.exec(`UPDATE users SET email = 'new@example.com' WHERE id = $1`, b.ann)
	b.emit(by(t.Context(), b.ann, "localhost:9000"), changed("ann@example.com", "new@example.com"))
	got := map[string]mailtest.Mail{}
	for range 2 {
		m := b.server.Next()
		got[m.To] = m
	}
	before, after := got["ann@example.com"], got["new@example.com"]
	contains(t, before, "was changed", "ann@example.com", "new@example.com", "this is the last one")
	contains(t, after, "was changed", "ann@example.com", "new@example.com", "https://localhost:9000/if/user/")
	if strings.Contains(after.Text, "last one") || strings.Contains(before.Text, "http") {
		t.Errorf("old:\n%s\nnew:\n%s", before.Text, after.Text)
	}
	b.emit(t.Context(), changed("", "new@example.com"))
	contains(t, b.server.Next(), "none", "new@example.com")
	b.emit(t.Context(), changed("new@example.com", ""))
	contains(t, b.server.Next(), "none", "new@example.com", "last one")
	b.emit(t.Context(), event.Event{Action: event.PasswordSet, Owner: b.ann, Context: map[string]any{}})
	m := b.server.Next()
	contains(t, m, "password", "was changed")
	if m.To != "new@example.com" || strings.Contains(m.Text, "From:") {
		t.Errorf("to %s:\n%s", m.To, m.Text)
	}
	b.none()
}

// T9: users hear of a phone that rings in vain and of a report, with what it set off; of a report administrators hear too, those of
// groups below one of superusers as well, once each.
func TestSuspicionMails(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.work(b.mails)
	for _, name := range []string{"root", "below", "both", "gone"} {
		b.user(name, "", name+"@example.com")
	}
	b.exec(`UPDATE users SET is_active = false WHERE username = 'gone'`)
	b.exec(`INSERT INTO groups (group_uuid, name, is_superuser) VALUES ('00000000-0000-7000-8000-000000000001', 'admins', true)`)
	b.exec(`INSERT INTO groups (group_uuid, name, parent) VALUES ('00000000-0000-7000-8000-000000000002', 'junior admins', '00000000-0000-7000-8000-000000000001')`)
	b.exec(`INSERT INTO group_members SELECT '00000000-0000-7000-8000-000000000001', id FROM users WHERE username IN ('root', 'both', 'gone')`)
	b.exec(`INSERT INTO group_members SELECT '00000000-0000-7000-8000-000000000002', id FROM users WHERE username IN ('below', 'both')`)
	suspicious := func(why string, more map[string]any) event.Event {
		more[event.Suspicion] = why
		return event.Event{Action: event.SuspiciousRequest, Owner: b.ann, Context: more}
	}
	b.emit(by(t.Context(), b.ann, "localhost:9000"), suspicious(event.PhoneFlooded, map[string]any{"rings": 3}))
	m := b.server.Next()
	contains(t, m, "asked 3 times", "change your password")
	if m.To != "ann@example.com" {
		t.Errorf("to %s", m.To)
	}
	b.emit(by(t.Context(), b.ann, "localhost:9000"), suspicious(event.PhoneReport, map[string]any{
		event.Effects: []string{"end_all_sessions", "block_push", "lock", "mail"}, event.AskedFrom: "198.51.100.7",
	}))
	got := map[string]mailtest.Mail{}
	for range 4 {
		m := b.server.Next()
		got[m.To] = m
	}
	contains(t, got["ann@example.com"], "Hello ann,", "was not yours", "All your sessions were ended", "not asked for a while", "is locked", "198.51.100.7")
	for _, to := range []string{"root@example.com", "below@example.com", "both@example.com"} {
		contains(t, got[to], "Hello,", "the phone of ann", "All their sessions", "not asked for a while", "is locked", "have it changed")
		if strings.Contains(got[to].Text, "If this was you") {
			t.Errorf("an administrator is addressed as the user:\n%s", got[to].Text)
		}
	}
	b.emit(by(t.Context(), b.ann, "localhost:9000"), suspicious(event.PhoneReport, map[string]any{event.Effects: []string{"mail"}, event.NoLogin: true, event.AskedFrom: ""}))
	for range 4 {
		m := b.server.Next()
		contains(t, m, "Nothing was approved")
		for _, wrong := range []string{"sign-in", "password", "let in"} {
			if strings.Contains(m.Text, wrong) || strings.Contains(m.Subject(), wrong) {
				t.Errorf("of what is no login a mail says %q: %s\n%s", wrong, m.Subject(), m.Text)
			}
		}
	}
	b.none()
}

// TestNoMail: events that no mail tells of, and users whom none can reach.
func TestNoMail(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	silent := b.user("silent", "", "")
	for name, e := range map[string]event.Event{
		"login":         {Action: event.Login, Owner: b.ann, User: &event.User{PK: b.ann}},
		"other model":   {Action: event.ModelDeleted, Owner: b.ann, Context: map[string]any{"model": event.Model(1, "authentik_core", "token", "x")}},
		"no owner":      device(event.ModelDeleted, 0, "abandoned"),
		"renamed":       device(event.ModelUpdated, b.ann, "x"),
		"same address":  {Action: event.ModelUpdated, Owner: b.ann, Context: map[string]any{"diff": map[string]any{"email": event.Changed{From: "A@x.org", To: "a@x.org"}}}},
		"no context":    {Action: event.ModelUpdated, Owner: b.ann},
		"other changes": {Action: event.ModelUpdated, Owner: b.ann, Context: map[string]any{"diff": map[string]any{"groups": 1}}},
	} {
		if sql, _, err := b.mails.Beside(t.Context(), e); sql != "" || err != nil {
			t.Errorf("%s: %q, %v", name, sql, err)
		}
	}
	for _, owner := range []int{silent, 12345} {
		b.emit(t.Context(), device(event.ModelCreated, owner, "x"))
	}
	rolledBack := errors.New("rolled back")
	err := db.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		if err := b.mails.Events.Emit(t.Context(), tx, device(event.ModelCreated, b.ann, "never")); err != nil {
			return err
		}
		return rolledBack
	})
	if !errors.Is(err, rolledBack) {
		t.Fatal(err)
	}
	if n := b.count("mail_outbox"); n != 0 {
		t.Errorf("%d mails", n)
	}
	b.work(b.mails)
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "last")) // what comes is the one after all these
	contains(t, b.server.Next(), `"last"`)
	b.none()
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.work(b.mails)
	eve := b.user("eve\r\nBcc: x@example.com", "Eve\r\nBcc: x@example.com", "eve@example.com")
	b.emit(t.Context(), device(event.ModelCreated, eve, "P\r\n\r\nSubject: you won<script>alert(1)</script>\u202e{{.Link}}"+strings.Repeat("a", 500)))
	m := b.server.Next()
	if m.Header.Get("Bcc") != "" || m.To != "eve@example.com" || strings.Contains(m.HTML, "<script") || strings.ContainsRune(m.Text, '\u202e') ||
		strings.Contains(m.Text, "\nSubject") || strings.Contains(m.Text, "\nBcc") || strings.Contains(m.Text, strings.Repeat("a", 101)) {
		t.Errorf("%s", m.Raw)
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Name != "Eve Bcc: x@example.com" {
		t.Errorf("%v, %v", to, err)
	}
	contains(t, m, "{{.Link}}")
}

// TestLink: a link leads to hosts that an administrator named, whatever a client makes of the Host header.
func TestLink(t *testing.T) {
	t.Parallel()
	out := sender(t, mail.Settings{Host: "smtp.example.org", TLS: mail.StartTLS, From: "login@example.org", Timeout: time.Second})
	s := &mail.Service{Sender: out, Site: func(_ context.Context, host string) (string, bool) { return "", host == "login.example.net" }}
	for host, want := range map[string]string{
		"login.example.net": "https://login.example.net/if/user/", "LOGIN.example.net:8443": "https://login.example.net:8443/if/user/",
		"example.org": "https://example.org/if/user/", "a.b.example.org:443": "https://a.b.example.org:443/if/user/",
		"localhost:9000": "https://localhost:9000/if/user/", "[::1]:9000": "https://[::1]:9000/if/user/", "[::1]": "https://[::1]/if/user/",
		"": "", "evil.example": "", "evilexample.org": "", "example.org.evil.example": "", "login.example.net.evil.example": "", "192.0.2.1": "",
		"login.example.net:x@evil.example": "", "login.example.net:80/@evil.example": "", "evil.example/.example.org": "", "evil.example#.example.org": "",
		"x@evil.example?.example.org": "", "login.example.net:99999": "", "evil.example:x.example.org": "",
	} {
		if got := s.Link(t.Context(), "https", host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	for _, scheme := range []string{"", "javascript"} {
		if got := s.Link(t.Context(), scheme, "example.org"); got != "" {
			t.Errorf("%q: %q", scheme, got)
		}
	}
}

func TestServerDownThenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.server.Down()
	b.work(b.mails)
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "patient"))
	const waiting = `river.river_job WHERE queue = 'send_mail' AND state = 'retryable' AND attempt = 1 AND max_attempts = 8 AND scheduled_at > now() + '2 s'`
	b.until("the job waits for its second attempt", waiting)
	b.server.Up()
	b.exec(`UPDATE river.river_job SET scheduled_at = now() WHERE queue = 'send_mail'`) // the pause is River's to keep
	contains(t, b.server.Next(), `"patient"`)
	b.until("the job is done", `river.river_job WHERE queue = 'send_mail' AND state = 'completed'`)
	if n := b.count(`events WHERE action = 'system_task_exception'`); n != 0 {
		t.Errorf("%d events of a failure", n)
	}
	b.none()
}

func TestFailsForGood(t *testing.T) {
	t.Parallel()
	refuse := func(to string) error {
		if strings.HasPrefix(to, "gone@") {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user here"}
		}
		return &smtp.SMTPError{Code: 451, Message: "Come back later"}
	}
	b := newBench(t, mailtest.Options{Refuse: refuse})
	b.work(b.mails)
	gone := b.user("gone", "", "gone@example.com")
	b.emit(t.Context(), device(event.ModelCreated, gone, "x"))
	const failed = `events WHERE action = 'system_task_exception' AND context->>'message' LIKE '%' || $1 || '%' AND context->'to_email' = jsonb_build_array($2::text)`
	b.until("the refusal is written", failed, "No such user here", "gone@example.com")
	b.until("the job is over at its first attempt", `river.river_job WHERE queue = 'send_mail' AND state = 'cancelled' AND attempt = 1`)

	b.emit(t.Context(), device(event.ModelCreated, b.ann, "x"))
	b.until("the job waits", `river.river_job WHERE queue = 'send_mail' AND state = 'retryable'`)
	if n := b.count(`events WHERE action = 'system_task_exception'`); n != 1 {
		t.Errorf("%d events before the last attempt", n)
	}
	b.exec(`UPDATE river.river_job SET scheduled_at = now(), attempt = max_attempts - 1 WHERE state = 'retryable'`)
	b.until("the failure is written", failed, "Come back later", "ann@example.com")
	for _, want := range []string{"level=ERROR", "a mail is not sent and given up", "No such user here", "Come back later"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, b.log)
		}
	}
	b.none()
}

// TestTwoNodes: whoever is notified, each mail is sent once.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.work(b.mails)
	b.work(b.node(mailtest.Options{}))
	const n = 15
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { b.emit(t.Context(), device(event.ModelCreated, b.ann, fmt.Sprint("app ", i))) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for range n {
		seen[b.server.Next().Header.Get("Message-ID")] = true
	}
	b.until("all is done", `(SELECT FROM river.river_job WHERE state = 'completed' AND queue = 'send_mail' HAVING count(*) = $1) x`, n)
	if len(seen) != n {
		t.Errorf("%d different mails", len(seen))
	}
	b.none()
}

// TestWorkerElsewhere: a node that works no jobs leaves its mails to one that does, and one that stops hands over.
func TestWorkerElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "before"))
	worker := b.node(mailtest.Options{})
	stop := b.work(worker)
	contains(t, b.server.Next(), `"before"`)
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "meanwhile"))
	contains(t, b.server.Next(), `"meanwhile"`)
	stop()
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "between"))
	b.work(b.node(mailtest.Options{}))
	contains(t, b.server.Next(), `"between"`)
	b.none()
}

// TestLostNotification: the periodic job finds what nobody was told of.
func TestLostNotification(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.work(b.mails)
	b.exec(`ALTER TABLE mail_outbox DISABLE TRIGGER mail_outbox_wake`)
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "lost"))
	b.exec(`INSERT INTO mail_quotas (user_id, address, since, owed) VALUES ($1, 'x', now() - interval '25 hours', 3)`, b.ann)
	if err := b.mails.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	contains(t, b.server.Next(), `"lost"`)
	if n := b.count(`mail_quotas WHERE owed = 3`); n != 0 {
		t.Error("an old quota is left")
	}
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "off"))
	if err := mail.Discard(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	b.none()
}

func TestQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.work(b.mails)
	bob := b.user("bob", "", "bob@example.com")
	for i := range 25 {
		b.emit(t.Context(), device(event.ModelCreated, b.ann, fmt.Sprintf("app %02d", i)))
	}
	got := map[string]bool{}
	for range 19 {
		m := b.server.Next()
		got[m.Text] = true
		if strings.Contains(m.Text, "more changes") {
			t.Errorf("a mail before the last tells of others:\n%s", m.Text)
		}
	}
	b.emit(t.Context(), device(event.ModelCreated, bob, "bob's")) // another user has an hour of his own
	contains(t, b.server.Next(), "bob")
	b.until("all have left the outbox", `(SELECT FROM mail_outbox HAVING count(*) = 0) x`)
	b.until("the twentieth waits for the hour's end", `river.river_job WHERE queue = 'send_mail' AND state = 'scheduled' AND scheduled_at BETWEEN now() + '58 m' AND now() + '61 m'`)
	if n := b.count(`river.river_job WHERE queue = 'send_mail'`); n != 21 || len(b.server.Inbox) != 0 {
		t.Errorf("%d jobs, %d mails more", n, len(b.server.Inbox))
	}
	b.exec(`UPDATE river.river_job SET scheduled_at = now() WHERE state = 'scheduled'`)
	contains(t, b.server.Next(), "There were 5 more changes", `"app 19"`)

	// A new hour begins anew.
	b.exec(`UPDATE mail_quotas SET since = since - interval '61 minutes'`)
	b.emit(t.Context(), device(event.ModelCreated, b.ann, "next hour"))
	contains(t, b.server.Next(), `"next hour"`)
	b.none()
}

// TestManyAtOnce: the outbox is emptied in portions, by several at once, and nothing is lost or doubled.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	const n = 350
	b.exec(`INSERT INTO users (uuid, username, email) SELECT gen_random_uuid(), 'u' || i, 'u' || i || '@example.com' FROM generate_series(1, $1::int) i`, n)
	b.exec(`INSERT INTO mail_outbox (user_id, address, kind, facts, created) SELECT id, email, 'password_changed', jsonb_build_object('at', now()), now() FROM users WHERE username LIKE 'u%'`)
	runner, err := task.New(b.pool, nil, task.Options{OneOffs: []task.OneOff{b.mails.Job()}})
	if err != nil {
		t.Fatal(err)
	}
	other := b.node(mailtest.Options{})
	b.mails.Start(runner) // not started itself: jobs are inserted, none is worked
	other.Start(runner)
	defer b.mails.Stop()
	defer other.Stop()
	b.until("the outbox is empty", `(SELECT FROM mail_outbox HAVING count(*) = 0) x`)
	b.until("each mail is a job", `(SELECT FROM river.river_job HAVING count(DISTINCT args->'facts'->>'address') = $1 AND count(*) = $1) x`, n)
}

func TestTooOldAndGone(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailtest.Options{})
	b.mails.Events.Beside = nil
	b.exec(`INSERT INTO mail_outbox (user_id, address, kind, facts, created) VALUES ($1, 'ann@example.com', 'password_changed', jsonb_build_object('at', now() - interval '4 days'), now())`, b.ann)
	b.exec(`INSERT INTO mail_outbox (user_id, address, kind, facts, created) VALUES ($1, 'ann@example.com', 'of_a_newer_program', jsonb_build_object('at', now()), now())`, b.ann)
	gone := b.user("gone", "", "gone@example.com")
	b.exec(`INSERT INTO mail_outbox (user_id, address, kind, facts, created) VALUES ($1, 'gone@example.com', 'password_changed', jsonb_build_object('at', now()), now())`, gone)
	runner, err := task.New(b.pool, nil, task.Options{OneOffs: []task.OneOff{b.mails.Job()}})
	if err != nil {
		t.Fatal(err)
	}
	b.mails.Start(runner)
	b.until("the outbox is empty", `(SELECT FROM mail_outbox HAVING count(*) = 0) x`)
	b.mails.Stop()
	b.exec(`DELETE FROM users WHERE id = $1`, gone)
	b.work(b.mails)
	b.until("the old one is refused", `events WHERE action = 'system_task_exception' AND context->>'message' LIKE '%too old%'`)
	b.until("the unknown one is refused", `events WHERE action = 'system_task_exception' AND context->>'kind' = 'of_a_newer_program'`)
	b.until("the third has nobody to go to", `river.river_job WHERE state = 'completed'`)
	b.none()
}

package mail_test

import (
	"context"
	"errors"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"countersign/core/mail"
	"countersign/core/mail/mailtest"
)

func settings(s *mailtest.Server, o mailtest.Options) mail.Settings {
	out := mail.Settings{
		Host: mailtest.Host, Port: s.Port, Username: o.Username, Password: o.Password, TLS: mail.NoTLS,
		From: "Countersign <login@example.org>", Timeout: 10 * time.Second, Roots: s.Roots,
	}
	switch {
	case o.TLS:
		out.TLS = mail.TLS
	case o.StartTLS:
		out.TLS = mail.StartTLS
	}
	return out
}

func sender(t *testing.T, s mail.Settings) *mail.Sender {
	t.Helper()
	out, err := mail.NewSender(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var secured = mailtest.Options{StartTLS: true, Username: "mailer", Password: "hush hush"}

func TestSend(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]mailtest.Options{
		"clear": {}, "starttls": {StartTLS: true}, "starttls and password": secured, "tls": {TLS: true},
		"tls and password": {TLS: true, Username: "mailer", Password: "hush hush"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.New(t, o)
			s := sender(t, settings(server, o))
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := time.Now().Truncate(time.Second)
			err := s.Send(t.Context(), mail.Message{ID: "id-1", Name: "Ann Ärmel", To: "ann@example.com", Subject: "Grüße & <more>", Text: "Zeile = eins\n", HTML: "<p>Zeile</p>"})
			if err != nil {
				t.Fatal(err)
			}
			m := server.Next()
			if m.From != "login@example.org" || m.To != "ann@example.com" || m.Subject() != "Grüße & <more>" || strings.TrimSpace(m.Text) != "Zeile = eins" || strings.TrimSpace(m.HTML) != "<p>Zeile</p>" {
				t.Errorf("%+v", m)
			}
			to, err := m.Header.AddressList("To")
			if err != nil || len(to) != 1 || *to[0] != (netmail.Address{Name: "Ann Ärmel", Address: "ann@example.com"}) {
				t.Errorf("To: %v, %v", to, err)
			}
			from, err := m.Header.AddressList("From")
			if err != nil || len(from) != 1 || *from[0] != (netmail.Address{Name: "Countersign", Address: "login@example.org"}) {
				t.Errorf("From: %v, %v", from, err)
			}
			date, err := m.Header.Date()
			if err != nil || date.Before(before) || date.After(time.Now().Add(time.Second)) {
				t.Errorf("Date: %v, %v", date, err)
			}
			if id := m.Header.Get("Message-ID"); id != "<id-1@example.org>" {
				t.Errorf("Message-ID: %s", id)
			}
			if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("MIME-Version") != "1.0" {
				t.Errorf("%v", m.Header)
			}
		})
	}
}

// TestHeadersCannotBeInjected: whatever is in a name or a subject, the headers are those of a harmless mail.
func TestHeadersCannotBeInjected(t *testing.T) {
	t.Parallel()
	server := mailtest.New(t, mailtest.Options{})
	s := sender(t, settings(server, mailtest.Options{}))
	headers := func(name, subject string) map[string][]string {
		t.Helper()
		if err := s.Send(t.Context(), mail.Message{ID: "x", Name: name, To: "ann@example.com", Subject: subject, Text: "t", HTML: "h"}); err != nil {
			t.Fatal(err)
		}
		m := server.Next()
		if m.To != "ann@example.com" || len(server.Inbox) != 0 {
			t.Errorf("it went to %s", m.To)
		}
		if list, err := m.Header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != "ann@example.com" {
			t.Errorf("To: %v, %v", list, err)
		}
		return m.Header
	}
	usual := headers("Ann", "Hello")
	for _, bad := range []string{
		"x\r\nBcc: eve@example.com", "x\nBcc: eve@example.com\n\nbody", "x\rBcc: eve@example.com", `x" <eve@example.com>, "y`, "x\r\n.\r\nMAIL FROM:<eve@example.com>",
		"x\u2028Bcc: eve@example.com", "\u202eeve", strings.Repeat("ä\r\n ", 2000), "=?utf-8?q?=0D=0ABcc:_eve@example.com?=",
	} {
		got := headers(bad, bad)
		if len(got) != len(usual) || got["Bcc"] != nil {
			t.Errorf("%q makes other headers: %v", bad, got)
		}
		if text := mailtest.Decode(got["Subject"][0]); strings.ContainsAny(text, "\r\n\u2028\u202e") {
			t.Errorf("the subject holds more than a line: %q", text)
		}
	}
	for _, to := range []string{"", "ann", "ann@example.com\r\nRCPT TO:<eve@example.com>", "Ann <ann@example.com>", "ann@example.com, eve@example.com", "ann@exam\nple.com", "<ann@example.com>", " ann@example.com"} {
		err := s.Send(t.Context(), mail.Message{ID: "x", To: to, Subject: "s", Text: "t"})
		if !errors.Is(err, mail.ErrRefused) {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if len(server.Inbox) != 0 {
		t.Errorf("%d mails went out", len(server.Inbox))
	}
}

func TestSendFails(t *testing.T) {
	t.Parallel()
	code := func(n int, text string) func(string) error {
		return func(string) error { return &smtp.SMTPError{Code: n, Message: text} }
	}
	for _, c := range []struct {
		name    string
		o       mailtest.Options
		edit    func(*mail.Settings)
		refused bool
		want    string
	}{
		{name: "550 is for good", o: mailtest.Options{Refuse: code(550, "No such user")}, refused: true, want: "No such user"},
		{name: "450 is not", o: mailtest.Options{Refuse: code(450, "Try later")}, want: "Try later"},
		{name: "wrong password", o: secured, edit: func(s *mail.Settings) { s.Password = "wrong" }, want: "535"},
		{name: "no password", o: secured, edit: func(s *mail.Settings) { s.Username, s.Password = "", "" }, refused: true, want: "authenticate"},
		{name: "password not asked for", o: mailtest.Options{StartTLS: true}, edit: func(s *mail.Settings) { s.Username, s.Password = "u", "p" }, want: "AUTH"},
		{name: "no STARTTLS", o: mailtest.Options{}, edit: func(s *mail.Settings) { s.TLS = mail.StartTLS }, want: "STARTTLS"},
		{name: "unknown certificate", o: secured, edit: func(s *mail.Settings) { s.Roots = nil }, want: "certificate"},
		{name: "unknown certificate, TLS", o: mailtest.Options{TLS: true}, edit: func(s *mail.Settings) { s.Roots = nil }, want: "certificate"},
		{name: "certificate of another", o: secured, edit: func(s *mail.Settings) { s.Host = "127.0.0.1" }, want: "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.New(t, c.o)
			set := settings(server, c.o)
			if c.edit != nil {
				c.edit(&set)
			}
			err := sender(t, set).Send(t.Context(), mail.Message{ID: "x", To: "ann@example.com", Subject: "s", Text: "t"})
			if err == nil || errors.Is(err, mail.ErrRefused) != c.refused || !strings.Contains(err.Error(), c.want) {
				t.Errorf("for good: %v, error: %v", errors.Is(err, mail.ErrRefused), err)
			}
			if strings.Contains(err.Error(), secured.Password) {
				t.Errorf("the error tells the password: %v", err)
			}
			if len(server.Inbox) != 0 {
				t.Error("a mail went out")
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		server := mailtest.New(t, mailtest.Options{})
		server.Down()
		err := sender(t, settings(server, mailtest.Options{})).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), strconv.Itoa(server.Port)) || errors.Is(err, mail.ErrRefused) {
			t.Errorf("%v", err)
		}
	})
}

// TestSendEndsInTime: neither a server that says nothing nor one that never takes the message holds anybody longer.
func TestSendEndsInTime(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	stall := make(chan struct{})
	slow := mailtest.New(t, mailtest.Options{Stall: stall})
	defer close(stall)
	for name, port := range map[string]int{"mute": mute.Addr().(*net.TCPAddr).Port, "stalled": slow.Port} {
		s := sender(t, mail.Settings{Host: "127.0.0.1", Port: port, TLS: mail.NoTLS, From: "a@example.org", Timeout: time.Second})
		began := time.Now()
		err := s.Send(t.Context(), mail.Message{ID: "x", To: "ann@example.com", Subject: "s", Text: "t"})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := mail.Settings{Host: "smtp.example.org", TLS: mail.StartTLS, From: "login@example.org", Timeout: time.Second}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (&mail.Settings{}).Validate(); err != nil {
		t.Errorf("without a host: %v", err)
	}
	if _, err := mail.NewSender(mail.Settings{}); err == nil {
		t.Error("a sender without a host")
	}
	for setting, edits := range map[string][]func(*mail.Settings){
		"mail.host":     {func(s *mail.Settings) { s.Host = "smtp.example.org:25" }, func(s *mail.Settings) { s.Host = "unix:///x" }},
		"mail.port":     {func(s *mail.Settings) { s.Port = -1 }, func(s *mail.Settings) { s.Port = 70000 }},
		"mail.tls":      {func(s *mail.Settings) { s.TLS = "" }, func(s *mail.Settings) { s.TLS, s.Username, s.Password = mail.NoTLS, "u", "p" }},
		"mail.username": {func(s *mail.Settings) { s.Username = "u" }, func(s *mail.Settings) { s.Password = "p" }},
		"mail.from":     {func(s *mail.Settings) { s.From = "" }, func(s *mail.Settings) { s.From = "x@y\r\nBcc: z@y" }},
		"mail.timeout":  {func(s *mail.Settings) { s.Timeout = 0 }, func(s *mail.Settings) { s.Timeout = time.Minute }},
	} {
		for i, edit := range edits {
			s := good
			edit(&s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), setting) {
				t.Errorf("%s %d: %v", setting, i, err)
			}
		}
	}
}

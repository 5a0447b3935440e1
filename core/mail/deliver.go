package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/session"
	"countersign/core/task"
)

// app is the name under which the events are written.
const app = "countersign.core.mail"

// deliver sends the mail of a job.
func (s *Service) deliver(ctx context.Context, facts json.RawMessage) error {
	var j job
	if err := json.Unmarshal(facts, &j); err != nil {
		return task.Final(fmt.Errorf("read the mail's job: %w", err))
	}
	if age := s.Now().Sub(j.Facts.At); age > giveUp {
		return task.Final(fmt.Errorf("the mail %s is %s old: too old to be sent", j.ID, age))
	}
	m, err := s.message(ctx, &j)
	if err != nil || m == nil {
		return err
	}
	if err := s.Sender.Send(ctx, *m); err != nil {
		if errors.Is(err, ErrRefused) {
			return task.Final(err)
		}
		return err
	}
	err = s.Events.Emit(ctx, s.Pool, event.Event{Action: event.EmailSent, App: app, Context: map[string]any{
		"message": "Email to " + j.Address + " sent", "subject": m.Subject, "from_email": s.Sender.From(), "to_email": []string{j.Address},
		"mail": j.ID.String(), "kind": j.Kind, "user": j.User,
	}})
	if err != nil { // another attempt would send the mail again
		s.Log.ErrorContext(ctx, "a mail was sent, its event is not written", "mail", j.ID, "error", err)
	}
	return nil
}

// message writes the mail; nil if there is nobody to tell any more.
func (s *Service) message(ctx context.Context, j *job) (*Message, error) {
	var username, name string
	err := s.Pool.QueryRow(ctx, `SELECT username, name FROM users WHERE id = $1`, j.User).Scan(&username, &name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read recipient %d: %w", j.User, db.Fault(err))
	}
	p := page{Username: clean(username, maxName), Facts: j.Facts, Browser: browser(j.Facts.Agent), ToOld: j.Address == j.Facts.Old, ToAdmin: j.Kind == PhoneReportTold}
	p.Title, p.Link = s.site(ctx, &j.Facts)
	if j.Since != nil {
		owed := 0
		err := s.Pool.QueryRow(ctx, `SELECT coalesce(max(owed), 0) FROM mail_quotas WHERE user_id = $1 AND address = $2 AND since = $3`,
			j.User, j.Address, *j.Since).Scan(&owed)
		if err != nil {
			return nil, fmt.Errorf("count mails that were held back: %w", db.Fault(err))
		}
		p.More = max(owed-perHour, 0)
	}
	if p.ToAdmin {
		name, p.Link = "", ""
	}
	m := &Message{ID: j.ID.String(), Name: name, To: j.Address}
	if m.Subject, m.Text, m.HTML, err = render(j.Kind, p); err != nil {
		return nil, task.Final(err)
	}
	return m, nil
}

// site is how people know the server, and the link to their account; "" where the host is not known to be ours. The link
// is made of the parts that were looked at: a Host header may hold more than a host.
func (s *Service) site(ctx context.Context, f *Facts) (title, link string) {
	host, port, err := net.SplitHostPort(f.Host)
	if err != nil {
		host, port = strings.Trim(f.Host, "[]"), ""
	}
	host = strings.ToLower(host)
	title, known := s.Site(ctx, host)
	_, domain, _ := strings.Cut(strings.ToLower(s.Sender.From()), "@")
	if !known && !within(host, domain) && !loopback(host) || !hostForm.MatchString(host) || f.Scheme != "https" && f.Scheme != "http" {
		return title, ""
	}
	authority := host
	switch n, err := strconv.ParseUint(port, 10, 16); {
	case port != "" && err != nil:
		return title, ""
	case port != "":
		authority = net.JoinHostPort(host, strconv.FormatUint(n, 10))
	case strings.Contains(host, ":"):
		authority = "[" + host + "]"
	}
	return title, f.Scheme + "://" + authority + "/if/user/"
}

// hostForm is a host name or an IP address.
var hostForm = regexp.MustCompile(`^[a-z0-9._:-]+$`)

// within tells whether a host is a domain's or of one below it.
func within(host, domain string) bool {
	return domain != "" && (host == domain || strings.HasSuffix(host, "."+domain))
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// browser names a browser and its system for people; "" where the header does not say.
func browser(agent string) string {
	if agent == "" {
		return ""
	}
	a := session.ParseAgent(agent)
	var parts []string
	for _, s := range []string{a.Browser.Family, a.OS.Family} {
		if s != "Other" {
			parts = append(parts, clean(s, 40))
		}
	}
	return strings.Join(parts, " on ")
}

// failed writes the event of a mail that is not tried any more.
func (s *Service) failed(ctx context.Context, facts json.RawMessage, cause error) {
	var j job
	if err := json.Unmarshal(facts, &j); err != nil {
		s.Log.ErrorContext(ctx, "a mail's job cannot be read", "error", err)
		return
	}
	err := s.Events.Emit(ctx, s.Pool, event.Event{Action: event.SystemTaskException, App: app, Context: map[string]any{
		"message": "Email to " + j.Address + " failed: " + cause.Error(), "to_email": []string{j.Address},
		"mail": j.ID.String(), "kind": j.Kind, "user": j.User,
	}})
	s.Log.ErrorContext(ctx, "a mail is not sent and given up", "mail", j.ID, "kind", j.Kind, "user", j.User, "error", cause)
	if err != nil {
		s.Log.ErrorContext(ctx, "the event of a mail that was given up is not written", "mail", j.ID, "error", err)
	}
}

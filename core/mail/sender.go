package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// MaxTimeout is the longest that sending one message may take, the connection included.
const MaxTimeout = 30 * time.Second

// The ways to protect the connection, values of Settings.TLS.
const (
	StartTLS = "starttls" // begins in the clear; a server that does not offer STARTTLS gets nothing (RFC 3207)
	TLS      = "tls"      // from the first byte (RFC 8314)
	NoTLS    = "none"
)

// Settings say how mails go out.
type Settings struct {
	Host     string
	Port     int    // 0 is the usual one: 587 for StartTLS, 465 for TLS, 25 for NoTLS
	Username string // "" is no authentication
	Password string
	TLS      string
	From     string        // an address, or a name and an address: "Countersign <login@example.org>"
	Timeout  time.Duration // for one message, at most MaxTimeout

	Roots *x509.CertPool // whom to believe the server's certificate; nil is the system's
}

// Validate names each setting that is wrong, as in "mail.port: …". Without a host nothing is.
func (s *Settings) Validate() error {
	if s.Host == "" {
		return nil
	}
	var errs []error
	wrong := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	wrong(strings.ContainsAny(s.Host, ":/ \t\r\n") && !isIP(s.Host), "mail.host: a host name or an address, without a port")
	wrong(s.Port < 0 || s.Port > 65535, "mail.port: 0 to 65535")
	wrong(!slices.Contains([]string{StartTLS, TLS, NoTLS}, s.TLS), "mail.tls: starttls, tls or none")
	wrong((s.Username == "") != (s.Password == ""), "mail.username, mail.password: they are needed together")
	wrong(strings.ContainsAny(s.Username+s.Password, "\r\n\x00"), "mail.username, mail.password: no line breaks")
	wrong(s.Username != "" && s.TLS == NoTLS, "mail.tls: a password is not sent in the clear; use starttls or tls")
	_, err := parseFrom(s.From)
	wrong(err != nil, "mail.from: an address is needed, as in Countersign <login@example.org>")
	wrong(s.Timeout < time.Second || s.Timeout > MaxTimeout, fmt.Sprintf("mail.timeout: 1s to %s", MaxTimeout))
	return errors.Join(errs...)
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func (s *Settings) port() int {
	return cmp.Or(s.Port, map[string]int{StartTLS: 587, TLS: 465, NoTLS: 25}[s.TLS])
}

func parseFrom(from string) (*netmail.Address, error) {
	a, err := netmail.ParseAddress(from)
	if err != nil {
		return nil, err
	}
	return a, checkAddress(a.Address)
}

// checkAddress refuses what is not exactly one bare address (RFC 5322, section 3.4.1): what could end a header or an SMTP
// command is none.
func checkAddress(address string) error {
	a, err := netmail.ParseAddress(address)
	if err != nil || a.Address != address || a.Name != "" || strings.ContainsFunc(address, control) {
		return fmt.Errorf("%q is not a mail address", address)
	}
	return nil
}

// Message is one mail to one person. Name and Subject may hold anything: they are encoded.
type Message struct {
	ID      string // the Message-ID's first half; the same for each attempt, so that a second delivery can be told
	Name    string // of the recipient
	To      string // a bare address
	Subject string
	Text    string
	HTML    string
}

// Sender sends mails through one SMTP server, on a connection of its own each. It is safe for use by several goroutines.
type Sender struct {
	settings Settings
	from     *netmail.Address
}

// NewSender makes a sender. Errors: those of Validate, and a missing host.
func NewSender(s Settings) (*Sender, error) {
	if s.Host == "" {
		return nil, errors.New("mail.host: it is needed to send mails")
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	from, err := parseFrom(s.From)
	if err != nil {
		return nil, fmt.Errorf("mail.from: %w", err)
	}
	return &Sender{settings: s, from: from}, nil
}

// From is the address that mails come from, without its name.
func (s *Sender) From() string { return s.from.Address }

// ErrRefused is in the error of a message that the server will never take: it answered 5xx to the addresses or the
// content, or the recipient's address is none. A refused password is not meant: that can be mended.
var ErrRefused = errors.New("refused for good")

// Send sends one message within Settings.Timeout. Any error without ErrRefused may be different at the next attempt.
func (s *Sender) Send(ctx context.Context, m Message) error {
	if err := checkAddress(m.To); err != nil {
		return fmt.Errorf("send mail: %w: %w", ErrRefused, err)
	}
	msg := s.compose(m)
	err := s.connected(ctx, func(c *gomail.Client, conn *smtp.Client) error {
		err := c.SendWithSMTPClient(conn, msg)
		if msg.IsDelivered() { // what failed came after the server had taken it
			return nil
		}
		return err
	})
	var refusal *gomail.SendError
	if errors.As(err, &refusal) && refusal.ErrorCode() >= 500 && refusal.ErrorCode() < 600 {
		return fmt.Errorf("send mail: %w: %w", ErrRefused, err)
	}
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	return nil
}

// Check connects, protects the connection and authenticates, and sends nothing. The error says which of these failed.
func (s *Sender) Check(ctx context.Context) error {
	return s.connected(ctx, func(*gomail.Client, *smtp.Client) error { return nil })
}

func (s *Sender) compose(m Message) *gomail.Msg {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(s.from)
	msg.ToMailAddress(&netmail.Address{Name: header(m.Name, maxName), Address: m.To})
	msg.Subject(header(m.Subject, maxSubject))
	msg.SetDateWithValue(time.Now().UTC())
	_, domain, _ := strings.Cut(s.from.Address, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // so that nobody's absence is answered to us (RFC 3834)
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg
}

// connected runs fn on a connection that is ready to send, and ends the connection. Neither the library, whose own limits are
// for each step, nor fn outlives the time limit: when it is over, the connection is closed under them.
func (s *Sender) connected(ctx context.Context, fn func(*gomail.Client, *smtp.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	config := &tls.Config{ServerName: s.settings.Host, RootCAs: s.settings.Roots, MinVersion: tls.VersionTLS12}
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		// The library leaves the connection open when what comes next fails; this closes it in any case.
		context.AfterFunc(ctx, func() { conn.Close() })
		if s.settings.TLS != TLS {
			return conn, nil
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		return secured, nil
	}
	options := []gomail.Option{
		gomail.WithPort(s.settings.port()), gomail.WithTimeout(s.settings.Timeout + time.Second), gomail.WithTLSConfig(config),
		gomail.WithDialContextFunc(dial), gomail.WithoutNoop(),
	}
	switch s.settings.TLS {
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLS: // of a connection that we made, the library finds out by itself under this policy alone
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.settings.Username != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(s.settings.Username), gomail.WithPassword(s.settings.Password))
	}
	at := "mail server " + net.JoinHostPort(s.settings.Host, strconv.Itoa(s.settings.port()))
	client, err := gomail.NewClient(s.settings.Host, options...)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err == nil {
		if err = fn(client, conn); err == nil {
			_ = client.CloseWithSMTPClient(conn) // a farewell; the message is taken
		}
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil { // a closed connection is what it looks like, not what it is
		err = fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	return fmt.Errorf("%s: %w", at, err)
}

// Package mailtest is a mail server for tests: real SMTP on a port of this machine, with STARTTLS, implicit TLS and AUTH.
//
// It owns what is delivered to it and nothing else:
//
//	sender ──SMTP──▶ Server ── Options.Refuse ──▶ Inbox
//	                   ▲ Down, Up: the same port
package mailtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Host is the name that the server's certificate is for.
const Host = "localhost"

// Patience is how long a test waits for a mail.
const Patience = 30 * time.Second

// Options say what a server does. The zero value speaks in the clear and takes everything.
type Options struct {
	StartTLS bool // offers STARTTLS, and insists on it before AUTH
	TLS      bool // speaks TLS from the first byte
	Username string
	Password string // with Username, AUTH PLAIN is needed

	// Refuse is asked for each recipient; its error, an *smtp.SMTPError above all, is the answer.
	Refuse func(to string) error
	// Stall keeps the server silent until it is closed, after the message was sent.
	Stall chan struct{}
}

// Mail is what was delivered.
type Mail struct {
	From, To string // of the envelope
	Raw      string
	Header   mail.Header
	Text     string
	HTML     string
}

// Subject is the decoded subject.
func (m Mail) Subject() string { return Decode(m.Header.Get("Subject")) }

// Decode is a header's text as people see it.
func Decode(header string) string {
	s, err := new(mime.WordDecoder).DecodeHeader(header)
	if err != nil {
		return header
	}
	return s
}

// Server is a mail server.
type Server struct {
	Port  int
	Roots *x509.CertPool
	Inbox chan Mail

	t       testing.TB
	options Options
	config  *tls.Config

	mu   sync.Mutex
	down func()
}

// New starts a server, which ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{t: t, options: o, Inbox: make(chan Mail, 1000)}
	s.config, s.Roots = certificate(t)
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// Up has the server listen, on the port that it had before.
func (s *Server) Up() {
	s.t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.Port})
	if err != nil {
		s.t.Fatalf("mail server: %v", err)
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{s: s}, nil }))
	server.Domain, server.AllowInsecureAuth = Host, s.options.TLS || !s.options.StartTLS
	server.ErrorLog = silent{}
	if s.options.StartTLS {
		server.TLSConfig = s.config
	}
	s.mu.Lock()
	s.down = func() {
		_ = l.Close()      // it may not serve yet
		_ = server.Close() // which says that the listener is closed
	}
	s.mu.Unlock()
	var listener net.Listener = l
	if s.options.TLS {
		listener = tls.NewListener(l, s.config)
	}
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.t.Errorf("mail server: %v", err)
		}
	}()
}

// Down ends all connections and refuses new ones.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		s.down()
		s.down = nil
	}
}

// Next waits for a mail.
func (s *Server) Next() Mail {
	s.t.Helper()
	select {
	case m := <-s.Inbox:
		return m
	case <-time.After(Patience):
		s.t.Fatal("no mail came")
		return Mail{}
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// session is one connection.
type session struct {
	s        *Server
	known    bool
	from, to string
}

func (c *session) Reset()        { c.from, c.to = "", "" }
func (c *session) Logout() error { return nil }

// AuthMechanisms is what EHLO offers.
func (c *session) AuthMechanisms() []string {
	if c.s.options.Username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth checks the password.
func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != c.s.options.Username || password != c.s.options.Password {
			return smtp.ErrAuthFailed
		}
		c.known = true
		return nil
	}), nil
}

func (c *session) Mail(from string, _ *smtp.MailOptions) error {
	if c.s.options.Username != "" && !c.known {
		return smtp.ErrAuthRequired
	}
	c.from = from
	return nil
}

func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if c.s.options.Refuse != nil {
		if err := c.s.options.Refuse(to); err != nil {
			return err
		}
	}
	c.to = to
	return nil
}

func (c *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if c.s.options.Stall != nil {
		<-c.s.options.Stall
	}
	m, err := parse(raw)
	if err != nil {
		c.s.t.Errorf("the mail cannot be read: %v\n%s", err, raw)
		return err
	}
	m.From, m.To = c.from, c.to
	c.s.Inbox <- m
	return nil
}

func parse(raw []byte) (Mail, error) {
	m := Mail{Raw: string(raw)}
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return m, err
	}
	m.Header = message.Header
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return m, err
	}
	if !strings.HasPrefix(kind, "multipart/") {
		m.Text, err = decode(message.Body, m.Header.Get("Content-Transfer-Encoding"))
		return m, err
	}
	for parts := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		text, err := decode(part, part.Header.Get("Content-Transfer-Encoding"))
		if err != nil {
			return m, err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			m.HTML = text
		} else {
			m.Text = text
		}
	}
}

func decode(r io.Reader, encoding string) (string, error) {
	if strings.EqualFold(encoding, "quoted-printable") {
		r = quotedprintable.NewReader(r)
	}
	raw, err := io.ReadAll(r)
	return strings.ReplaceAll(string(raw), "\r\n", "\n"), err
}

// certificate is a new one, signed by itself, and the pool that believes it.
func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: Host}, DNSNames: []string{Host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, pool
}

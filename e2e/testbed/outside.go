package testbed

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The hosts that the outside plays.
const (
	TwilioHost = "api.twilio.com"
	SMSHost    = "sms.example.test" // a provider of no known make, over plain HTTP
	DuoHost    = "api-e2e.duosecurity.com"
)

// Outside plays the services that a server calls by their names in the world. It is the server's HTTP proxy, and has
// certificates for those names that the program is made to trust.
//
//	server ─▶ CONNECT api.twilio.com:443 ─▶ TLS ─┬─▶ SMS
//	       ─▶ POST http://sms.example.test/… ────┘
//	       ─▶ CONNECT api-….duosecurity.com:443 ─▶ TLS ─▶ Duo
type Outside struct {
	SMS *SMS
	Duo *Duo

	authority   []byte // PEM
	certificate tls.Certificate
	url         string
	proxy       *http.Server // what comes to the proxy itself
	inner       *http.Server // what comes through its tunnels
	tunnels     *tunnels
	ended       sync.WaitGroup
}

// Option changes a Bed.
type Option func(*Bed)

// WithOutside has every server of the bed call the outside world's double.
func WithOutside() Option { return func(b *Bed) { b.outside = true } }

func newOutside(ctx context.Context) (*Outside, error) {
	o := &Outside{SMS: &SMS{}, Duo: newDuo(), tunnels: &tunnels{conns: make(chan net.Conn), closed: make(chan struct{})}}
	if err := o.certify(); err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o.url = "http://" + listener.Addr().String()
	o.proxy = &http.Server{Handler: http.HandlerFunc(o.serve), ReadHeaderTimeout: 10 * time.Second}
	o.inner = &http.Server{Handler: http.HandlerFunc(o.serve), ReadHeaderTimeout: 10 * time.Second}
	o.ended.Go(func() { _ = o.proxy.Serve(listener) }) // they end with Close
	o.ended.Go(func() { _ = o.inner.Serve(o.tunnels) })
	return o, nil
}

func (o *Outside) close() error {
	err := errors.Join(o.proxy.Close(), o.inner.Close())
	o.ended.Wait()
	return err
}

func (o *Outside) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		o.tunnel(w)
		return
	}
	switch r.Host {
	case TwilioHost, SMSHost:
		o.SMS.ServeHTTP(w, r)
	case DuoHost:
		o.Duo.ServeHTTP(w, r)
	default:
		http.Error(w, "no such host in this world: "+r.Host, http.StatusBadGateway)
	}
}

// tunnel hands the connection over to the inner server, whatever host was asked for.
func (o *Outside) tunnel(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
		_ = conn.Close()
		return
	}
	config := &tls.Config{Certificates: []tls.Certificate{o.certificate}, MinVersion: tls.VersionTLS12}
	select {
	case o.tunnels.conns <- tls.Server(conn, config):
	case <-o.tunnels.closed:
		_ = conn.Close()
	}
}

// tunnels is the listener of what came through tunnels.
type tunnels struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (t *tunnels) Accept() (net.Conn, error) {
	select {
	case c := <-t.conns:
		return c, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

func (t *tunnels) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

func (t *tunnels) Addr() net.Addr { return &net.TCPAddr{} }

// certify makes an authority and a certificate of it for the names.
func (o *Outside) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	from, until := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Countersign's end-to-end tests"}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		return err
	}
	o.authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: until, DNSNames: []string{TwilioHost, DuoHost},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, key.Public(), key)
	o.certificate = tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}
	return err
}

// environ has a server go by this outside; dir is for the authority's file.
func (o *Outside) environ(dir string) ([]string, error) {
	file := filepath.Join(dir, "authority.pem")
	return []string{"HTTP_PROXY=" + o.url, "HTTPS_PROXY=" + o.url, "NO_PROXY=", "SSL_CERT_FILE=" + file}, os.WriteFile(file, o.authority, 0o600)
}

const duoModule = "github.com/duosecurity/duo_api_golang"

// modules is the flag by which the build trusts the authority at Duo. Duo's library knows Duo's authorities by heart and takes
// no others from outside, so that this build has a copy of the library with another constant; all else is what ships.
func (o *Outside) modules(ctx context.Context, dir string) (string, error) {
	list, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}\n{{.GoMod}}", "countersign", duoModule).Output()
	if err != nil {
		return "", fmt.Errorf("find Duo's library: %w", err)
	}
	lines := strings.Split(string(list), "\n") // directory and go.mod, ours and Duo's
	library, ours := filepath.Join(dir, "duo"), filepath.Dir(lines[1])
	if err := os.CopyFS(library, os.DirFS(lines[2])); err != nil {
		return "", fmt.Errorf("copy Duo's library: %w", err)
	}
	file := filepath.Join(library, "duoapi.go")
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	const begin, end = "const duoPinnedCert string = `", "`"
	before, rest, found := bytes.Cut(source, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return "", errors.New("no constant duoPinnedCert in Duo's library any more")
	}
	text := bytes.Join([][]byte{before, []byte(begin), o.authority, []byte(end), after}, nil)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	mod, err := os.ReadFile(filepath.Join(ours, "go.mod"))
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(filepath.Join(ours, "go.sum"))
	if err != nil {
		return "", err
	}
	mod = fmt.Appendf(mod, "\nreplace %s => %s\n", duoModule, library)
	file = filepath.Join(dir, "go.mod")
	return "-modfile=" + file, errors.Join(os.WriteFile(file, mod, 0o600), os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))
}

package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrPrivate is a connection to an address that is not of the public internet.
var ErrPrivate = errors.New("the host has no public address, and is not among the allowed ones")

// Transport connects to public addresses and to the allowed hosts alone. The address is looked at when the name was
// resolved and before anything is sent, so that no answer of a name server leads elsewhere. For the same reason the proxy of
// the environment is not used: it would do the resolving.
func Transport(allowed Hosts) *http.Transport {
	free := &net.Dialer{Timeout: 5 * time.Second}
	guarded := &net.Dialer{Timeout: 5 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !public(at.Addr()) {
			return ErrPrivate
		}
		return nil
	}}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if allowed.Has(address) {
				return free.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 90 * time.Second,
		MaxIdleConns: 200, MaxIdleConnsPerHost: 64, MaxResponseHeaderBytes: 16 << 10,
	}
}

// Hosts are names, each with or without a port, that may be private and speak plain HTTP.
type Hosts []string

// Has tells whether host:port is among them.
func (h Hosts) Has(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return slices.Contains(h, address) || err == nil && slices.Contains(h, host)
}

// Validate finds names that are empty.
func (h Hosts) Validate() error {
	for _, one := range h {
		if one == "" {
			return fmt.Errorf("an allowed host is empty")
		}
	}
	return nil
}

// Permits says what is wrong with a URL, as far as that shows without asking a name server. The text is for a person.
func (h Hosts) Permits(u *url.URL) error {
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
	}
	if h.Has(host) && (u.Scheme == "https" || u.Scheme == "http") {
		return nil
	}
	if u.Scheme != "https" {
		return errors.New("it must be an https URL")
	}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	at, err := netip.ParseAddr(name)
	if err == nil && !public(at) || name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return errors.New("it must have a public address")
	}
	return nil
}

// special are blocks that IsPrivate and its like leave out and that no service has (RFC 6890 and its registries).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("fec0::/10"),
}

// translated holds IPv4 addresses in its last four bytes (RFC 6052): they are what counts.
var translated = netip.MustParsePrefix("64:ff9b::/96")

// public tells whether an address is one of the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if translated.Contains(a) {
		raw := a.As16()
		a = netip.AddrFrom4([4]byte(raw[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

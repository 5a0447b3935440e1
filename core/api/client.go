package api

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// client is the other end as the trusted proxies tell it.
type client struct {
	ip     netip.Addr
	host   string
	scheme string
}

var hostForm = regexp.MustCompile(`^([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// client finds out where a request comes from. Forwarded headers count only when the peer is a trusted proxy; of
// X-Forwarded-For the last address that is none, of the others the last value, which is the nearest proxy's.
func (a *API) client(r *http.Request) client {
	c := client{host: r.Host, scheme: "http"}
	if r.TLS != nil {
		c.scheme = "https"
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return c // a unix socket, or a test
	}
	c.ip = peer.Addr().Unmap().WithZone("")
	if !a.trusted(c.ip) {
		return c
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && a.trusted(c.ip); i-- {
		ip, ok := hop(hops[i])
		if !ok {
			break
		}
		c.ip = ip
	}
	switch proto := strings.ToLower(lastValue(r, "X-Forwarded-Proto")); proto {
	case "http", "https":
		c.scheme = proto
	}
	if host := lastValue(r, "X-Forwarded-Host"); hostForm.MatchString(host) {
		c.host = host
	}
	return c
}

// answers says whether the API is to answer under the name that a request gives. A page on another name, which hands requests on to
// ours, would otherwise be taken for us: by browsers, and by phones that enrol through it.
func (a *API) answers(host, path string) bool {
	if len(a.o.Hosts) == 0 || strings.HasPrefix(path, "/-/") {
		return true
	}
	name := host
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		name = host[:at]
	}
	return slices.ContainsFunc(a.o.Hosts, func(h string) bool { return strings.EqualFold(h, host) || strings.EqualFold(h, name) })
}

func (a *API) trusted(ip netip.Addr) bool {
	for _, p := range a.o.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// hop reads one address of X-Forwarded-For, which some proxies write with a port.
func hop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return ip.Unmap().WithZone(""), err == nil
}

func lastValue(r *http.Request, name string) string {
	values := r.Header.Values(name)
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

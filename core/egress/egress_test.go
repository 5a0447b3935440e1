package egress

import (
	"net/netip"
	"net/url"
	"testing"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"8.8.8.8": true, "142.250.1.1": true, "2a00:1450::1": true, "64:ff9b::808:808": true, "::ffff:8.8.8.8": true,
		"10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "127.0.0.1": false, "169.254.169.254": false, "0.0.0.0": false,
		"100.64.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::1": false, "::": false, "fe80::1%eth0": false, "fd00::1": false, "ff02::1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::a00:1": false, "64:ff9b::7f00:1": false, "2002:a00:1::": false, "2001:db8::1": false, "2001::1": false, "::a00:1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public %v", text, got)
		}
	}
}

func TestPermits(t *testing.T) {
	t.Parallel()
	allowed := Hosts{"127.0.0.1:8080", "ntfy.lan"}
	for text, want := range map[string]bool{
		"https://example.org/x": true, "https://8.8.8.8/": true, "http://127.0.0.1:8080/x": true, "https://127.0.0.1:8080": true, "http://ntfy.lan/": true,
		"http://example.org/": false, "https://127.0.0.1/": false, "http://127.0.0.1:8081/": false, "https://localhost/": false, "https://a.LOCALHOST./": false,
		"https://[::1]:8080/": false, "https://10.1.2.3/": false, "https:///x": false, "ftp://ntfy.lan/": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := allowed.Permits(u); (got == nil) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

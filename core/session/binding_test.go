package session

import (
	"net/netip"
	"testing"
)

type fakePlaces map[string]struct {
	network Network
	place   Place
}

func (f fakePlaces) Network(a netip.Addr) (Network, bool) {
	e, ok := f[a.String()]
	return e.network, ok
}
func (f fakePlaces) Place(a netip.Addr) (Place, bool) { e, ok := f[a.String()]; return e.place, ok }

func TestCheckBindings(t *testing.T) {
	t.Parallel()
	net1, net2 := "192.0.2.0/25", "192.0.2.128/25"
	where := fakePlaces{
		"192.0.2.1":    {Network{ASN: 1, Network: &net1}, Place{Continent: "EU", Country: "DE", City: "Bonn"}},
		"192.0.2.2":    {Network{ASN: 1, Network: &net1}, Place{Continent: "EU", Country: "DE", City: "Bonn"}},
		"192.0.2.129":  {Network{ASN: 1, Network: &net2}, Place{Continent: "EU", Country: "DE", City: "Köln"}},
		"198.51.100.1": {Network{ASN: 2}, Place{Continent: "EU", Country: "FR"}},
		"203.0.113.1":  {Network{ASN: 3}, Place{Continent: "AS", Country: "JP"}},
	}
	for _, c := range []struct {
		auth  Auth
		to    string
		where Locator
		want  string
	}{
		{Auth{}, "203.0.113.1", nil, ""},
		{Auth{Network: NoBinding, GeoIP: NoBinding}, "203.0.113.1", where, ""},
		{Auth{Network: BindASN}, "192.0.2.1", nil, ""}, // the same address needs no database
		{Auth{Network: BindASN}, "192.0.2.2", nil, "network.missing"},
		{Auth{GeoIP: BindContinent}, "192.0.2.2", nil, "geoip.missing"},
		{Auth{Network: BindASN}, "192.0.2.200", where, "network.missing"},
		{Auth{GeoIP: BindCity}, "192.0.2.200", where, "geoip.missing"},
		{Auth{Network: BindASN}, "192.0.2.129", where, ""},
		{Auth{Network: BindASN}, "198.51.100.1", where, "network.asn"},
		{Auth{Network: BindASNNetwork}, "192.0.2.129", where, "network.asn_network"},
		{Auth{Network: BindASNNetwork}, "192.0.2.2", where, ""},
		{Auth{Network: BindASNNetworkIP}, "192.0.2.2", where, "network.ip"},
		{Auth{GeoIP: BindContinent}, "198.51.100.1", where, ""},
		{Auth{GeoIP: BindContinent}, "203.0.113.1", where, "geoip.continent"},
		{Auth{GeoIP: BindCountry}, "198.51.100.1", where, "geoip.country"},
		{Auth{GeoIP: BindCountry}, "192.0.2.129", where, ""},
		{Auth{GeoIP: BindCity}, "192.0.2.129", where, "geoip.city"},
		{Auth{GeoIP: BindCity}, "192.0.2.2", where, ""},
		{Auth{Network: BindASN, GeoIP: BindCity}, "192.0.2.129", where, "geoip.city"},
	} {
		got := ""
		if b := checkBindings(c.auth, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr(c.to), c.where); b != nil {
			got = b.Reason
		}
		if got != c.want {
			t.Errorf("%+v to %s: %q; want %q", c.auth, c.to, got, c.want)
		}
	}
}

func TestParseAgent(t *testing.T) {
	t.Parallel()
	a := ParseAgent("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1")
	if a.OS.Family != "iOS" || a.OS.Major != "17" || a.OS.Patch != "2" || a.Browser.Family != "Safari" || a.Browser.Major != "17" || a.Browser.Minor != "1" ||
		a.Device.Brand != "Apple" || a.Device.Family != "iPhone" {
		t.Errorf("iPhone: %+v", a)
	}
	a = ParseAgent("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0")
	if a.OS.Family != "Linux" || a.Browser.Family != "Firefox" || a.Browser.Major != "120" || a.Device.Family != "Other" {
		t.Errorf("Firefox: %+v", a)
	}
	if a = ParseAgent(""); a.OS.Family != "Other" || a.Browser.Family != "Other" {
		t.Errorf("none: %+v", a)
	}
}

func FuzzParseAgent(f *testing.F) {
	f.Add("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_2 like Mac OS X) AppleWebKit/605.1.15")
	f.Add("((;;/\x00\xff")
	f.Fuzz(func(t *testing.T, header string) {
		if a := ParseAgent(header); len(a.String) > maxAgent {
			t.Errorf("%d bytes are kept", len(a.String))
		}
	})
}

func FuzzCookie(f *testing.F) {
	s := &Store{Key: []byte("0123456789abcdef0123456789abcdef")}
	good, err := s.sign("sid", anonymous)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, value string) {
		if sid, _ := s.verify(value); sid != "" && sid != "sid" {
			t.Errorf("%q gives %q", value, sid)
		}
	})
}

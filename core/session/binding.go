package session

import (
	"context"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
)

// The values of the settings network_binding and geoip_binding (core.md §2.3). The empty one is no_binding too.
const (
	NoBinding          = "no_binding"
	BindASN            = "bind_asn"
	BindASNNetwork     = "bind_asn_network"
	BindASNNetworkIP   = "bind_asn_network_ip"
	BindContinent      = "bind_continent"
	BindCountry        = "bind_continent_country"
	BindCity           = "bind_continent_country_city"
	logoutBindingBroke = "Session binding broken"
)

// Network is what an ASN database knows of an address.
type Network struct {
	ASN     int     `json:"asn" api:"required"`
	Org     *string `json:"as_org" api:"required,nullable"`
	Network *string `json:"network" api:"required,nullable"`
}

// Place is what a GeoIP database knows of an address: two-letter codes, degrees, and the city's name, which may be "".
type Place struct {
	Continent string  `json:"continent" api:"required"`
	Country   string  `json:"country" api:"required"`
	Lat       float64 `json:"lat" api:"required"`
	Long      float64 `json:"long" api:"required"`
	City      string  `json:"city" api:"required"`
}

// Locator looks addresses up in GeoIP and ASN databases; false is "not known".
type Locator interface {
	Network(addr netip.Addr) (Network, bool)
	Place(addr netip.Addr) (Place, bool)
}

// broken says which binding a change of address broke.
type broken struct {
	Reason        string
	Previous, New any
}

// checkBindings tells whether a session bound by auth may move from one address to another; nil: it may. What no
// database knows counts as broken (core.md §2.3), and so does everything when there is no Locator.
func checkBindings(auth Auth, from, to netip.Addr, where Locator) *broken {
	if from == to {
		return nil
	}
	if b := checkNetwork(auth.Network, from, to, where); b != nil {
		return b
	}
	return checkPlace(auth.GeoIP, from, to, where)
}

func checkNetwork(binding string, from, to netip.Addr, where Locator) *broken {
	if binding == "" || binding == NoBinding {
		return nil
	}
	var before, after Network
	known := false
	if where != nil {
		var ok bool
		before, known = where.Network(from)
		after, ok = where.Network(to)
		known = known && ok
	}
	switch {
	case !known:
		return &broken{"network.missing", from.String(), to.String()}
	case before.ASN != after.ASN:
		return &broken{"network.asn", before.ASN, after.ASN}
	case binding == BindASN:
		return nil
	case text(before.Network) != text(after.Network):
		return &broken{"network.asn_network", text(before.Network), text(after.Network)}
	case binding == BindASNNetwork:
		return nil
	}
	return &broken{"network.ip", from.String(), to.String()}
}

func checkPlace(binding string, from, to netip.Addr, where Locator) *broken {
	if binding == "" || binding == NoBinding {
		return nil
	}
	var before, after Place
	known := false
	if where != nil {
		var ok bool
		before, known = where.Place(from)
		after, ok = where.Place(to)
		known = known && ok
	}
	switch {
	case !known:
		return &broken{"geoip.missing", from.String(), to.String()}
	case before.Continent != after.Continent:
		return &broken{"geoip.continent", before.Continent, after.Continent}
	case binding == BindContinent:
		return nil
	case before.Country != after.Country:
		return &broken{"geoip.country", before.Country, after.Country}
	case binding == BindCountry:
		return nil
	case before.City != after.City:
		return &broken{"geoip.city", before.City, after.City}
	}
	return nil
}

// endBroken deletes a session whose binding is broken and says so in the event log.
func (s *Store) endBroken(ctx context.Context, sess *Session, why *broken, from, to netip.Addr) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		return s.end(ctx, tx, sess, map[string]any{
			"logout_reason": logoutBindingBroke,
			"binding":       map[string]any{"reason": why.Reason, "previous_value": why.Previous, "new_value": why.New},
			"ip":            map[string]any{"previous": from.String(), "new": to.String()},
		}, &event.User{PK: sess.Actor.ID, Username: sess.Actor.Username, Email: sess.Actor.Email})
	})
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

package throttle

import (
	"net/netip"
	"slices"
	"time"
)

// The limits.
const (
	Ceiling   = 5 * time.Minute
	Memory    = 30 * 24 * time.Hour // how long a place is known after the device was used there
	MaxPlaces = 8                   // that a device knows
)

// State is what a device's row keeps, as JSON. The zero State is that of a new device.
type State struct {
	Elsewhere Count   `json:"elsewhere,omitzero"` // at all places that are not known
	Places    []Place `json:"places,omitempty"`   // where the device was used, the latest first
}

// Count is a number of wrong codes in a row.
type Count struct {
	Failures int       `json:"failures,omitempty"`
	Last     time.Time `json:"last,omitzero"` // when the last one came
}

// Place is a network address from which the device was used.
type Place struct {
	Source string    `json:"source"`
	Used   time.Time `json:"used"`
	Count
}

// Source is the place of an address; "" is no place, and never known.
func Source(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ""
	}
	return p.String()
}

// Until is when the next code from source is taken; a time that is not after now means at once.
func (s *State) Until(now time.Time, source string) time.Time {
	c := s.count(now, source)
	if c.Failures == 0 {
		return time.Time{}
	}
	wait := Ceiling
	if n := c.Failures - 1; n < 9 { // 2^9 s are over the ceiling
		wait = min(time.Second<<n, Ceiling)
	}
	until := c.Last.Add(wait)
	if limit := now.Add(Ceiling); until.After(limit) { // another node's clock is ahead
		return limit
	}
	return until
}

// Fail counts a wrong code.
func (s *State) Fail(now time.Time, source string) {
	c := s.count(now, source)
	c.Failures, c.Last = min(c.Failures+1, 1<<20), now
}

// Pass ends the row of wrong codes at source, and makes it a known place.
func (s *State) Pass(now time.Time, source string) {
	*s.count(now, source) = Count{}
	if source == "" {
		return
	}
	kept := []Place{{Source: source, Used: now}}
	for _, p := range s.Places {
		if p.Source != source && now.Sub(p.Used) < Memory && len(kept) < MaxPlaces {
			kept = append(kept, p)
		}
	}
	s.Places = kept
}

// count is the one that codes from source add to.
func (s *State) count(now time.Time, source string) *Count {
	i := slices.IndexFunc(s.Places, func(p Place) bool { return p.Source == source && now.Sub(p.Used) < Memory })
	if source == "" || i < 0 {
		return &s.Elsewhere
	}
	return &s.Places[i].Count
}

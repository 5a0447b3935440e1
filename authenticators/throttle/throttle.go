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
	Limit     = 100                 // wrong codes in a row, after which a place is closed (NIST SP 800-63B-4 §3.2.2)
	Quiet     = 24 * time.Hour      // after which the owner's use of the device elsewhere opens a closed place
)

// never is how far off a closed place says that it opens.
const never = 100 * 365 * 24 * time.Hour

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

// Until is when the next code from source is taken; a time that is not after now means at once, one after Ceiling that the
// place is closed.
func (s *State) Until(now time.Time, source string) time.Time {
	c := s.count(now, source)
	if c.Failures == 0 {
		return time.Time{}
	}
	if c.closed() {
		return now.Add(never)
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

// Pass ends the row of wrong codes at source, and makes it a known place. It opens what has been closed for Quiet: it is
// the owner who has the device.
func (s *State) Pass(now time.Time, source string) {
	*s.count(now, source) = Count{}
	opens := func(c Count) bool { return c.closed() && now.Sub(c.Last) >= Quiet }
	if opens(s.Elsewhere) {
		s.Elsewhere = Count{}
	}
	for i := range s.Places {
		if opens(s.Places[i].Count) {
			s.Places[i].Count = Count{}
		}
	}
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

func (c Count) closed() bool { return c.Failures >= Limit }

// count is the one that codes from source add to.
func (s *State) count(now time.Time, source string) *Count {
	i := slices.IndexFunc(s.Places, func(p Place) bool { return p.Source == source && now.Sub(p.Used) < Memory })
	if source == "" || i < 0 {
		return &s.Elsewhere
	}
	return &s.Places[i].Count
}

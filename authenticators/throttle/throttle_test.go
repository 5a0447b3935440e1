package throttle

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	home = "192.0.2.7"
	away = "198.51.100.9"
)

func TestWaitDoublesUpToTheCeiling(t *testing.T) {
	t.Parallel()
	var s State
	now := noon
	if u := s.Until(now, home); u.After(now) {
		t.Fatalf("a new device is locked until %s", u)
	}
	for n, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300} {
		s.Fail(now, home)
		want := time.Duration(seconds) * time.Second
		if got := s.Until(now, home).Sub(now); got != want {
			t.Errorf("after %d failures: %s, want %s", n+1, got, want)
		}
		now = s.Until(now, home)
	}
	s.Pass(now, home)
	if s.Until(now, home).After(now) {
		t.Error("a right code did not end the row")
	}
}

// A hundred wrong codes in a row close the place; the owner's use at another opens it, but not at once.
func TestHundredWrongCodesCloseThePlace(t *testing.T) {
	t.Parallel()
	var s State
	s.Pass(noon, home)
	now := noon
	for range Limit - 1 {
		s.Fail(now, away)
		now = s.Until(now, away)
	}
	if took := now.Sub(noon); took < 7*time.Hour || took > 8*time.Hour {
		t.Errorf("so many guesses take %s", took)
	}
	s.Fail(now, away)
	for _, later := range []time.Duration{0, Ceiling, 365 * 24 * time.Hour} {
		if got := s.Until(now.Add(later), away).Sub(now.Add(later)); got <= Ceiling {
			t.Errorf("%s after the last: %s", later, got)
		}
	}
	if s.Until(now, home).After(now) {
		t.Error("the known place is closed too")
	}
	s.Pass(now.Add(Quiet-time.Second), home)
	if !s.Until(now.Add(Quiet), away).After(now.Add(Quiet)) {
		t.Error("it opens too soon")
	}
	s.Pass(now.Add(Quiet), home)
	if s.Until(now.Add(Quiet), away).After(now.Add(Quiet)) {
		t.Error("it does not open")
	}
	for range Limit {
		s.Fail(now, home)
	}
	s.Pass(now, home)
	if s.Elsewhere.Failures != 0 || s.Places[0].Failures != 0 {
		t.Errorf("after a right code: %+v", s)
	}
}

// Whoever guesses from elsewhere does not lock the owner out at a place that is known.
func TestPlacesCountForThemselves(t *testing.T) {
	t.Parallel()
	var s State
	s.Pass(noon, home)
	for range 20 {
		s.Fail(noon, away)
	}
	if s.Until(noon, home).After(noon) {
		t.Error("guesses from elsewhere lock the known place")
	}
	for _, other := range []string{away, "203.0.113.1", ""} {
		if s.Until(noon, other).Sub(noon) != Ceiling {
			t.Errorf("%q is not locked", other)
		}
	}
	s.Fail(noon, home)
	if got := s.Until(noon, home).Sub(noon); got != time.Second {
		t.Errorf("a failure at home: %s", got)
	}
	s.Pass(noon, home)
	if s.Until(noon, away).Sub(noon) != Ceiling {
		t.Error("a right code at home helps the guesser")
	}
	later := noon.Add(Memory)
	s.Elsewhere.Last = later
	if !s.Until(later, home).After(later) {
		t.Error("a place is known for ever")
	}
}

func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	var s State
	for i := range 3 * MaxPlaces {
		s.Pass(noon.Add(time.Duration(i)*time.Minute), fmt.Sprintf("192.0.2.%d", i))
	}
	if len(s.Places) != MaxPlaces || s.Places[0].Source != "192.0.2.23" {
		t.Errorf("the places are %+v", s.Places)
	}
	s.Pass(noon.Add(time.Hour), "192.0.2.20")
	if len(s.Places) != MaxPlaces || s.Places[0].Source != "192.0.2.20" {
		t.Errorf("after using one again they are %+v", s.Places)
	}
	s.Pass(noon, "")
	if len(s.Places) != MaxPlaces {
		t.Error("no place became a place")
	}
}

func TestClockOfAnotherNode(t *testing.T) {
	t.Parallel()
	s := State{Elsewhere: Count{Failures: 3, Last: noon.Add(time.Hour)}}
	if got := s.Until(noon, home).Sub(noon); got != Ceiling {
		t.Errorf("locked for %s", got)
	}
}

func TestStateThroughJSON(t *testing.T) {
	t.Parallel()
	var s State
	if raw, err := json.Marshal(s); err != nil || string(raw) != "{}" {
		t.Errorf("the zero state is %s %v", raw, err)
	}
	s.Pass(noon, home)
	s.Fail(noon, home)
	s.Fail(noon, away)
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back State
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(raw) != string(again) || back.Places[0].Failures != 1 {
		t.Errorf("%s became %s %v", raw, again, err)
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Source(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	if got := Source(netip.Addr{}); got != "" {
		t.Errorf("no address is %q", got)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "1 second", time.Millisecond: "1 second", time.Second: "1 second", 1001 * time.Millisecond: "2 seconds",
		time.Minute: "60 seconds", time.Minute + time.Millisecond: "2 minutes", Ceiling: "5 minutes",
	} {
		if got := Pause(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

package desk_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/simulator/desk"
	"countersign/simulator/event"
	"countersign/simulator/report"
)

// stage is a hub with its collector, and a wall clock that a test moves.
type stage struct {
	*desk.Hub
	sinks event.Sinks
	wall  atomic.Int64
}

func newStage(events ...event.Event) *stage {
	s := &stage{}
	figures := report.New()
	s.Hub = desk.NewHub(figures, func() time.Time { return time.Unix(1_700_000_000, s.wall.Load()) })
	s.sinks = event.Sinks{figures, s.Hub}
	s.tell(events...)
	return s
}

func (s *stage) tell(events ...event.Event) {
	for _, e := range events {
		s.sinks.Take(e)
	}
}

// now is the snapshot once its rest is over.
func (s *stage) now() desk.Snapshot {
	s.wall.Add(int64(time.Second))
	return s.Snapshot()
}

func TestSnapshotFollowsARun(t *testing.T) {
	t.Parallel()
	all := started(4, 10)
	s := newStage(all[:3]...)
	if now := s.now(); now.Phase != desk.Preparing || now.Progress != 0.5 || now.Phones != (desk.Phones{All: 4, Idle: 2}) {
		t.Errorf("while phones enrol: %+v", now)
	}
	s.tell(all[3:]...)
	s.tell(
		event.Event{At: second, Kind: event.LoginDue, Login: 1, Phone: 2, Name: "approve"},
		event.Event{At: second, Kind: event.LoginDue, Login: 2, Phone: 3, Name: "deny"},
		event.Event{At: second, Kind: event.BrowserStep, Login: 1, Name: "password"},
	)
	if now := s.now(); now.Phase != desk.Running || now.Counts.Flying != 2 || now.Waiting != 0 {
		t.Errorf("before a phone is asked: %+v", now)
	}
	s.tell(
		event.Event{At: second, Kind: event.BrowserStep, Login: 1, Name: "select"},
		event.Event{At: 2 * second, Kind: event.PhoneStep, Login: 1, Phone: 2, Name: "push_received", Took: second / 10},
		event.Event{At: 2 * second, Kind: event.PhoneStep, Login: 1, Phone: 2, Name: "rang"},
		event.Event{At: 2 * second, Kind: event.PhoneStep, Login: 2, Phone: 3, Name: "rang"},
		event.Event{At: 2 * second, Kind: event.PhoneStep, Login: 2, Phone: 3, Name: "decided"},
		event.Event{At: 2 * second, Kind: event.PhoneStep, Phone: 4, Name: event.StepOffline},
		event.Event{At: 2 * second, Kind: event.FaultOn, Name: "push outage"},
		event.Event{At: 2 * second, Kind: event.FaultOn, Name: "slow"},
		event.Event{At: 2 * second, Kind: event.FaultOff, Name: "push outage"},
	)
	now := s.now()
	if now.Phones != (desk.Phones{All: 4, Idle: 1, Ringing: 1, Answering: 1, Offline: 1}) {
		t.Errorf("phones %+v", now.Phones)
	}
	if g := s.Grid(1, 10); g.States != "irax" || g.Last != "@@@@" || g.All != 4 {
		t.Errorf("grid %+v", g)
	}
	if len(now.Faults) != 1 || now.Faults[0].Name != "slow" || now.Waiting != 2 || now.Pending[0] != (desk.Pending{Login: 1, Phone: 2, Person: "approve", Step: "rang", Since: second}) {
		t.Errorf("faults %+v, pending %+v", now.Faults, now.Pending)
	}
	if len(now.Pushes) != 1 || now.Pushes[0].Took != second/10 {
		t.Errorf("pushes %+v", now.Pushes)
	}
	s.tell(
		event.Event{At: 3 * second, Kind: event.PhoneStep, Login: 2, Phone: 3, Name: "answered", Error: "503"},
		event.Event{At: 4 * second, Kind: event.LoginEnded, Login: 1, Phone: 2, Outcome: "expired", Want: "approved", Wrong: "other outcome", Took: 3 * second},
		event.Event{At: 5 * second, Kind: event.LoginEnded, Login: 2, Phone: 3, Outcome: "denied", Took: 4 * second},
	)
	now = s.now()
	if now.Counts != (desk.Counts{Due: 2, Done: 2, Wrong: 1, Errors: 1}) || now.Progress != 0.2 || now.Left != 20*second {
		t.Errorf("counts %+v, progress %v, left %v", now.Counts, now.Progress, time.Duration(now.Left))
	}
	if g := s.Grid(1, 10); g.States != "iiix" || g.Last != "@AB@" || !slices.Equal(g.Names, []string{"expired", "denied"}) {
		t.Errorf("grid %+v", g)
	}
	if e := now.Errors; len(e) != 2 || e[0].Kind != "wrong" || !strings.Contains(e[0].Text, "other outcome") || e[1].Text != "phone answered: 503" {
		t.Errorf("errors %+v", e)
	}
	if p := now.Percentiles; p["p50"] != 3000 && p["p50"] < 2990 || p["p99"] < 3990 {
		t.Errorf("percentiles %v", p)
	}
	// Two in the last five whole seconds were due, one ended in them and the other in the sixth.
	if r := now.Rates; r.Due != 0.4 || r.Done != 0.2 || r.Pushes != 0.2 || r.Errors != 0.4 {
		t.Errorf("rates %+v", r)
	}
	s.tell(event.Event{At: 6 * second, Kind: event.RunEnded, Text: "done"})
	if now := s.Snapshot(); now.Phase != desk.Ended || now.Ended != "done" || now.Progress != 1 || now.Left != 0 {
		t.Errorf("the end is not told at once: %+v", now)
	}
	text, err := json.Marshal(now)
	if err != nil || strings.Contains(string(text), "plan") {
		t.Errorf("%s (%v)", text, err)
	}
}

func TestSnapshotAtMostFourTimesASecond(t *testing.T) {
	t.Parallel()
	s := newStage(started(1, 100)...)
	s.now()
	login := 0
	seen := map[int]bool{}
	for range 100 { // a second, in steps of 10 ms
		login++
		s.tell(event.Event{At: second, Kind: event.LoginDue, Login: login})
		s.wall.Add(int64(10 * time.Millisecond))
		seen[s.Snapshot().Counts.Due] = true
	}
	if len(seen) != 5 { // the one before, and four
		t.Errorf("%d different snapshots in a second", len(seen))
	}
	changed := s.Changed()
	select {
	case <-changed:
		t.Error("told of no change")
	default:
	}
	s.tell(event.Event{Kind: event.LoginDue})
	<-changed
}

// Whatever comes, what is kept and what is sent stay small.
func TestHubIsBounded(t *testing.T) {
	t.Parallel()
	s := newStage(started(2000, 0)...)
	for i := range 60_000 {
		at := event.Millis(i) * second / 100
		name := fmt.Sprint("name-", i)
		s.tell(event.Event{At: at, Kind: event.LoginDue, Login: i + 1, Phone: i%2000 + 1, Name: "approve"})
		s.tell(event.Event{At: at, Kind: event.PhoneStep, Login: i + 1, Phone: i%2000 + 1, Name: "push_received", Error: strings.Repeat("é", 2000)})
		if i < 1000 {
			s.tell(event.Event{At: at, Kind: event.FaultOn, Name: name}, event.Event{At: at, Kind: event.Sample, Values: map[string]float64{name: 1}})
			s.tell(event.Event{At: at, Kind: event.LoginEnded, Login: i + 1, Phone: i%2000 + 1, Outcome: name, Wrong: name})
		}
	}
	s.tell(event.Event{Kind: event.PhoneEnrolled, Phone: 1 << 40}, event.Event{Kind: event.PhoneEnrolled, Phone: -1})
	now := s.now()
	if now.Counts.Flying != 50_000 || now.Counts.Due != 60_000 || now.Waiting != 50_000 {
		t.Errorf("counts %+v, %d waiting", now.Counts, now.Waiting)
	}
	text, err := json.Marshal(now)
	if err != nil || len(text) > 100_000 {
		t.Errorf("%d bytes (%v)", len(text), err)
	}
	if g := s.Grid(1, 1<<40); len(g.States) != 1000 || g.All != 2000 || len(g.Names) != 32 {
		t.Errorf("a page of %d phones of %d", len(g.States), g.All)
	}
}

func TestGridPages(t *testing.T) {
	t.Parallel()
	s := newStage(started(250, 0)...)
	for _, c := range []struct{ from, count, first, n int }{
		{1, 100, 1, 100}, {201, 100, 201, 50}, {250, 1, 250, 1}, {999, 100, 250, 1}, {-5, 10, 1, 10}, {1, 0, 1, 1}, {1, -7, 1, 1},
	} {
		if g := s.Grid(c.from, c.count); g.From != c.first || len(g.States) != c.n || len(g.Last) != c.n {
			t.Errorf("%d from %d: %d from %d", c.count, c.from, len(g.States), g.From)
		}
	}
	if g := desk.NewHub(report.New(), nil).Grid(3, 10); g.From != 1 || g.States != "" {
		t.Errorf("a run without phones: %+v", g)
	}
}

// What there is none of is an empty list to a page, from before the run on.
func TestSnapshotHasNoNull(t *testing.T) {
	t.Parallel()
	s := newStage()
	for _, events := range [][]event.Event{nil, started(0, 0), started(2, 5)} {
		s.tell(events...)
		text, err := json.Marshal([]any{s.now(), s.Grid(1, 10)})
		if err != nil || strings.Contains(string(text), "null") {
			t.Errorf("%s (%v)", text, err)
		}
	}
}

func TestTimeLeft(t *testing.T) {
	t.Parallel()
	lasting := started(1, 0)
	lasting[0].Header.Lasts = 10 * second
	s := newStage(lasting...)
	s.tell(event.Event{At: 4 * second, Kind: event.LoginDue, Login: 1})
	if now := s.now(); now.Left != 6*second || now.Progress != 0.4 {
		t.Errorf("by time: %v left, %v", time.Duration(now.Left), now.Progress)
	}
	s.tell(event.Event{At: 12 * second, Kind: event.LoginDue, Login: 2})
	if now := s.now(); now.Left != 0 || now.Progress != 1 {
		t.Errorf("beyond its time: %v left, %v", time.Duration(now.Left), now.Progress)
	}
	s = newStage(started(1, 0)...)
	if now := s.now(); now.Left != -1 || now.Progress != -1 {
		t.Errorf("unknown: %v left, %v", now.Left, now.Progress)
	}
}

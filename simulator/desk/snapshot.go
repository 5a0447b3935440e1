package desk

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"countersign/simulator/event"
	"countersign/simulator/report"
)

// The phases of a run.
const (
	Preparing = "preparing" // servers start, phones enrol
	Running   = "running"
	Ended     = "ended"
)

// Snapshot is how a run stands. It is not changed once made.
type Snapshot struct {
	Run      event.Header `json:"run"`
	Phase    string       `json:"phase"`
	Ended    string       `json:"ended,omitempty"`
	At       event.Millis `json:"at"`
	Progress float64      `json:"progress"` // 0 to 1; -1: unknown
	Left     event.Millis `json:"left"`     // -1: unknown

	Counts      Counts             `json:"counts"`
	Outcomes    map[string]int     `json:"outcomes"`
	Phones      Phones             `json:"phones"`
	Rates       Rates              `json:"rates"`
	Spark       []Spark            `json:"spark"` // a second each, the newest last
	Percentiles map[string]float64 `json:"percentiles"`
	Gauges      map[string]float64 `json:"gauges"`
	Faults      []Fault            `json:"faults"`
	Pending     []Pending          `json:"pending"` // the oldest
	Waiting     int                `json:"waiting"` // how many there are
	Pushes      []Line             `json:"pushes"`  // the newest first
	Errors      []Line             `json:"errors"`  // the newest first
	Taken       []int              `json:"taken"`
}

// Counts of logins, and of errors of their steps.
type Counts struct {
	Due    int `json:"due"`
	Done   int `json:"done"`
	Flying int `json:"flying"`
	Wrong  int `json:"wrong"`
	Errors int `json:"errors"`
}

// Phones by state.
type Phones struct {
	All       int `json:"all"` // that the run asks for
	Idle      int `json:"idle"`
	Ringing   int `json:"ringing"`
	Answering int `json:"answering"`
	Offline   int `json:"offline"`
}

// Ready are those that can be rung.
func (p Phones) Ready() int { return p.Idle + p.Ringing + p.Answering }

// Rates are a second, of the last few.
type Rates struct {
	Due    float64 `json:"due"`
	Done   float64 `json:"done"`
	Errors float64 `json:"errors"`
	Pushes float64 `json:"pushes"`
}

// Spark is one second.
type Spark struct {
	Done   int `json:"done"`
	Errors int `json:"errors"`
}

// Fault that is on.
type Fault struct {
	Name  string       `json:"name"`
	Text  string       `json:"text,omitempty"`
	Since event.Millis `json:"since"`
}

// Pending is a login whose phone was asked.
type Pending struct {
	Login  int          `json:"login"`
	Phone  int          `json:"phone"`
	Person string       `json:"person,omitempty"` // what it will do
	Step   string       `json:"step"`             // the last
	Since  event.Millis `json:"since"`
}

// Line of a feed. Kind is push, error, wrong or world.
type Line struct {
	At    event.Millis `json:"at"`
	Kind  string       `json:"kind"`
	Phone int          `json:"phone,omitempty"`
	Login int          `json:"login,omitempty"`
	Took  event.Millis `json:"took,omitempty"`
	Text  string       `json:"text,omitempty"`
}

// Snapshot is made anew at most four times a second, and when the run's phase changed.
func (h *Hub) Snapshot() Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	if !h.madeAt.IsZero() && h.made.Phase == h.phase && now.Sub(h.madeAt) < rest {
		return h.made
	}
	h.made, h.madeAt = h.snapshot(), now
	return h.made
}

func (h *Hub) snapshot() Snapshot {
	s := Snapshot{
		Run: h.header, Phase: h.phase, Ended: h.ended, At: h.at, Progress: -1, Left: -1, Counts: h.counts,
		Outcomes: maps.Clone(h.outcomes), Phones: Phones{All: h.header.Phones}, Percentiles: map[string]float64{},
		Gauges: maps.Clone(h.gauges), Faults: append([]Fault{}, h.faults...), Pending: []Pending{},
		Pushes: h.pushes.newest(), Errors: h.errors.newest(), Taken: slices.AppendSeq([]int{}, maps.Keys(h.taken)), Spark: []Spark{},
	}
	slices.Sort(s.Taken)
	s.Counts.Flying = len(h.flying)
	for _, p := range h.phones {
		switch p {
		case Idle:
			s.Phones.Idle++
		case Ringing:
			s.Phones.Ringing++
		case Answering:
			s.Phones.Answering++
		case Offline:
			s.Phones.Offline++
		}
	}
	s.Phones.All = max(s.Phones.All, s.Phones.Ready()+s.Phones.Offline)
	h.progress(&s)
	h.rates(&s)
	for _, one := range []struct {
		name, metric string
		q            float64
	}{
		{"p50", report.LoginDuration, 50}, {"p95", report.LoginDuration, 95}, {"p99", report.LoginDuration, 99},
		{"release_p95", report.AnswerToRelease, 95},
	} {
		if v, ok := h.figures.Value(one.metric, report.Percentile, one.q); ok {
			s.Percentiles[one.name] = v
		}
	}
	for login, f := range h.flying {
		if f.pending {
			s.Waiting++
			s.Pending = append(s.Pending, Pending{Login: login, Phone: f.phone, Person: f.person, Step: f.step, Since: f.since})
		}
	}
	slices.SortFunc(s.Pending, func(a, b Pending) int { return cmp.Or(cmp.Compare(a.Since, b.Since), a.Login-b.Login) })
	s.Pending = slices.Clip(s.Pending[:min(len(s.Pending), maxPending)])
	return s
}

// progress is by logins where their number is known, else by time.
func (h *Hub) progress(s *Snapshot) {
	planned, lasts := h.header.Logins, h.header.Lasts
	switch h.phase {
	case Preparing:
		if s.Phones.All > 0 {
			s.Progress = float64(s.Phones.Ready()+s.Phones.Offline) / float64(s.Phones.All)
		}
	case Ended:
		s.Left = 0
		if h.ended == "done" {
			s.Progress = 1
			return
		}
		fallthrough
	default:
		if planned > 0 {
			s.Progress = min(float64(h.counts.Done)/float64(planned), 1)
		} else if lasts > 0 {
			s.Progress = min(float64(h.at)/float64(lasts), 1)
		}
	}
	if h.phase != Running {
		return
	}
	switch {
	case lasts > 0:
		s.Left = max(lasts-h.at, 0)
	case planned > 0 && h.counts.Done > 0 && h.at > 0:
		left := float64(max(planned-h.counts.Done, 0)) * float64(h.at) / float64(h.counts.Done)
		s.Left = event.Millis(left)
	}
}

func (h *Hub) rates(s *Snapshot) {
	now := int(time.Duration(h.at) / time.Second)
	for n := max(now-sparkTime+1, 0); n <= now; n++ {
		one := h.seconds[n%sparkTime]
		if one.number != n {
			one = second{}
		}
		s.Spark = append(s.Spark, Spark{one.done, one.errors})
		if n >= now-rateTime && n < now { // whole seconds only
			s.Rates.Due += float64(one.due)
			s.Rates.Done += float64(one.done)
			s.Rates.Errors += float64(one.errors)
			s.Rates.Pushes += float64(one.pushes)
		}
	}
	if over := float64(min(now, rateTime)); over > 0 {
		for _, r := range []*float64{&s.Rates.Due, &s.Rates.Done, &s.Rates.Errors, &s.Rates.Pushes} {
			*r /= over
		}
	}
}

// Grid is a page of the phones, each as its state and the last outcome of its logins.
type Grid struct {
	From   int      `json:"from"` // the first phone's number
	All    int      `json:"all"`
	States string   `json:"states"` // a letter each: see PhoneState
	Last   string   `json:"last"`   // a letter each: A is the first of Names, @ is none
	Names  []string `json:"names"`
}

// maxPage is the most phones of a page.
const maxPage = 1000

// Grid are so many phones from a number on.
func (h *Hub) Grid(from, count int) Grid {
	h.mu.Lock()
	defer h.mu.Unlock()
	from = min(max(from, 1), max(len(h.phones), 1))
	until := min(from-1+min(max(count, 1), maxPage), len(h.phones))
	var states []byte
	for _, s := range h.phones[from-1 : until] {
		states = append(states, byte(s))
	}
	return Grid{
		From: from, All: max(len(h.phones), h.header.Phones), States: string(states), Last: string(h.last[from-1 : until]),
		Names: append([]string{}, h.names...),
	}
}

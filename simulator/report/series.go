package report

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"countersign/simulator/event"
)

const (
	maxPoints  = 600
	firstWidth = event.Millis(time.Second)
)

// series is the run over time, in points of equal width. A run that outgrows maxPoints has its points joined in twos.
type series struct {
	width  event.Millis
	points []*point
}

type point struct {
	due, wrong, browser, phone int
	ended                      map[string]int
	took                       *hdrhistogram.PackedHistogram
	gauges                     map[string]float64
}

func newSeries() series { return series{width: firstWidth} }

// at is the point of a time; what was before the logins counts as their begin.
func (s *series) at(t event.Millis) *point {
	t = max(t, 0)
	for int(t/s.width) >= maxPoints {
		s.widen()
	}
	i := int(t / s.width)
	for len(s.points) <= i {
		s.points = append(s.points, &point{})
	}
	return s.points[i]
}

func (s *series) widen() {
	s.width *= 2
	for i := 0; i < len(s.points); i += 2 {
		if i+1 < len(s.points) {
			s.points[i].join(s.points[i+1])
		}
		s.points[i/2] = s.points[i]
	}
	s.points = s.points[:(len(s.points)+1)/2]
}

// join adds what is in other.
func (p *point) join(other *point) {
	p.due += other.due
	p.wrong += other.wrong
	p.browser += other.browser
	p.phone += other.phone
	for outcome, n := range other.ended {
		p.outcome(outcome, n)
	}
	for name, v := range other.gauges {
		p.gauge(name, v)
	}
	if p.took == nil {
		p.took = other.took
	} else if other.took != nil {
		other.took.ForEachBucket(func(value, count int64) bool {
			_ = p.took.RecordValues(value, count) // of one geometry, it cannot fail
			return true
		})
	}
}

func (p *point) outcome(name string, n int) {
	if p.ended == nil {
		p.ended = map[string]int{}
	}
	p.ended[name] += n
}

func (p *point) end(outcome string, wrong bool, took event.Millis) {
	p.outcome(outcome, 1)
	if wrong {
		p.wrong++
	}
	if p.took == nil {
		p.took = hdrhistogram.NewPacked(1, longestMicros, 2)
	}
	_ = p.took.RecordValue(clamp(took))
}

// gauge keeps the greatest value of the point.
func (p *point) gauge(name string, v float64) {
	if p.gauges == nil {
		p.gauges = map[string]float64{}
	}
	old, known := p.gauges[name]
	if !known || v > old {
		p.gauges[name] = v
	}
}

func (s *series) summary() Series {
	out := Series{Width: s.width, Points: []Point{}}
	for i, p := range s.points {
		one := Point{
			At: event.Millis(i) * s.width, Due: p.due, Ended: copied(p.ended), Wrong: p.wrong,
			BrowserErrors: p.browser, PhoneErrors: p.phone, Gauges: copied(p.gauges),
		}
		if p.took != nil {
			at := func(q float64) float64 { return float64(p.took.ValueAtPercentile(q)) / 1000 }
			one.P50, one.P95, one.P99 = at(50), at(95), at(99)
		}
		out.Points = append(out.Points, one)
	}
	return out
}

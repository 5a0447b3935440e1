package engine

import (
	"fmt"
	"strings"
	"testing"

	"countersign/simulator/event"
)

// A soak fails by what grows to its end, not by what fills up in the beginning, and resident memory counts only where nothing
// better is known.
func TestGrowth(t *testing.T) {
	t.Parallel()
	steady := func(int) float64 { return 100 }
	grows := func(i int) float64 { return 100 + float64(i)/10 }
	fills := func(i int) float64 { return min(200, 100+float64(i)) }
	for name, c := range map[string]struct {
		gauges map[string]func(int) float64
		n      int
		failed string
	}{
		"steady":            {map[string]func(int) float64{event.GaugeHeap: steady, event.GaugeGoroutines: steady}, 1000, ""},
		"caches that fill":  {map[string]func(int) float64{event.GaugeHeap: fills}, 1000, ""},
		"a leak":            {map[string]func(int) float64{event.GaugeHeap: grows}, 1000, "memory of the simulator"},
		"a slow leak, long": {map[string]func(int) float64{event.GaugeHeap: func(i int) float64 { return 100 + float64(i)/200 }}, 20_000, "memory of the simulator"},
		"goroutines":        {map[string]func(int) float64{event.GaugeHeap: steady, event.GaugeServerGo: grows}, 1000, "goroutines of the server"},
		"the server's RSS":  {map[string]func(int) float64{event.GaugeHeap: steady, event.GaugeServerRSS: grows}, 1000, "memory of the server"},
		"RSS beside heap":   {map[string]func(int) float64{event.GaugeHeap: steady, event.GaugeServerRSS: grows, event.GaugeServerHeap: steady}, 1000, ""},
		"too short to tell": {map[string]func(int) float64{event.GaugeHeap: steady}, 10, "memory of the simulator"},
	} {
		var g growth
		for i := range c.n {
			values := map[string]float64{}
			for gauge, at := range c.gauges {
				values[gauge] = at(i)
			}
			g.take(values)
		}
		var failed []string
		names := map[string]bool{}
		for _, e := range g.checks(0.2) {
			if names[e.Name] {
				t.Errorf("%s: %q is told twice", name, e.Name)
			}
			names[e.Name] = true
			if !e.Passed {
				failed = append(failed, e.Name)
			}
		}
		if got := strings.Join(failed, "; "); c.failed == "" && got != "" || !strings.HasPrefix(got, c.failed) {
			t.Errorf("%s: failed %q, want %q", name, got, c.failed)
		}
		if kept := len(g.kept[event.GaugeHeap]); kept > maxGrowth {
			t.Errorf("%s: %d samples are kept", name, kept)
		}
	}
	if e := new(growth).checks(0.2); len(e) != 0 {
		t.Error(fmt.Sprint("checks without a sample: ", e))
	}
}

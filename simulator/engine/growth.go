package engine

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/simulator/event"
)

const (
	maxGrowth = 4096 // samples that are kept of a gauge; then every second one goes
	minGrowth = 20   // samples without which nothing is said
)

// growth watches gauges that must not grow for ever. Only the goroutine of the samples writes to it.
type growth struct {
	kept  map[string][]float64
	every int // of so many samples one is kept
	seen  int
}

// watched are the gauges, what they are called, and which one says it better, where it is known: resident memory has what the
// collector has not yet given back, too.
var watched = []struct{ gauge, name, better string }{
	{event.GaugeHeap, "memory of the simulator", ""}, {event.GaugeGoroutines, "goroutines of the simulator", ""},
	{event.GaugeServerHeap, "memory of the server", ""}, {event.GaugeServerRSS, "memory of the server", event.GaugeServerHeap},
	{event.GaugeServerGo, "goroutines of the server", ""},
}

func (g *growth) take(values map[string]float64) {
	if g.kept == nil {
		g.kept, g.every = map[string][]float64{}, 1
	}
	if g.seen++; g.seen%g.every != 0 {
		return
	}
	for _, w := range watched {
		if v, found := values[w.gauge]; found && v > 0 {
			g.kept[w.gauge] = append(g.kept[w.gauge], v)
		}
	}
	if len(g.kept[event.GaugeHeap]) < maxGrowth {
		return
	}
	g.every *= 2
	for name, list := range g.kept {
		for i := range len(list) / 2 {
			list[i] = list[2*i]
		}
		g.kept[name] = list[:len(list)/2]
	}
}

// checks hold the median of the last quarter against that of the second: the first is for caches to fill.
func (g *growth) checks(limit float64) []event.Event {
	var out []event.Event
	for _, w := range watched {
		list := g.kept[w.gauge]
		if limit == 0 || len(list) == 0 || len(g.kept[w.better]) > 0 {
			continue
		}
		e := event.Event{Kind: event.Check, Name: fmt.Sprintf("%s grows by %.0f %% at most", w.name, 100*limit)}
		if n := len(list); n < minGrowth {
			e.Text = fmt.Sprintf("%d samples are too few", n)
		} else {
			before, after := median(list[n/4:n/2]), median(list[3*n/4:])
			e.Passed, e.Text = after <= before*(1+limit), fmt.Sprintf("from %.4g to %.4g", before, after)
		}
		out = append(out, e)
	}
	return out
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// serverGauges are what the servers say of themselves, all together.
func (r *run) serverGauges(ctx context.Context) map[string]float64 {
	bases := []string{r.target.base}
	if r.target.world != nil {
		bases = r.target.world.Nodes()
	}
	out := map[string]float64{}
	for _, base := range bases {
		for name, v := range scrape(ctx, base+"-/metrics/") {
			out[name] += v
		}
	}
	return out
}

// scrape reads the figures that matter from a page of Prometheus metrics; what it cannot read is not there.
func scrape(ctx context.Context, url string) map[string]float64 {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	out := map[string]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil:
		case name == "go_goroutines":
			out[event.GaugeServerGo] = v
		case name == "process_resident_memory_bytes":
			out[event.GaugeServerRSS] = v / (1 << 20)
		case name == "go_memstats_next_gc_bytes":
			out[event.GaugeServerHeap] = v / (1 << 20)
		}
	}
	return out
}

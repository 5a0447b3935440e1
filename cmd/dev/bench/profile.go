package bench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Share is a part of the processor time of this process while approvals run.
type Share struct {
	Part    string  `json:"part"`
	Percent float64 `json:"percent"`
	Micros  float64 `json:"us_per_approval"`
}

// parts names who a stack belongs to: the innermost frame that matches decides. The client's stacks are told first, by any
// frame.
var parts = []struct {
	part     string
	prefixes []string
}{
	{"pgx", []string{"github.com/jackc/"}},
	{"JSON", []string{"encoding/json", "countersign/core/api/schema", "countersign/core/event"}},
	{"log", []string{"log/slog"}},
	{"metrics", []string{"github.com/prometheus/"}},
	{"cookie and token checks", []string{"github.com/golang-jwt/", "countersign/core/secret"}},
	{"push", []string{"countersign/push"}},
	{"engine and stages", []string{"countersign/flows", "countersign/authenticators", "countersign/mobile", "countersign/core/session", "countersign/core/user", "countersign/core/brand"}},
	{"HTTP", []string{"net/http", "github.com/gin-gonic/", "countersign/core/api", "net/textproto"}},
}

const (
	client    = "client of the measurement"
	collector = "garbage collector"
	rest      = "scheduler and rest"
)

// profile runs approvals under the CPU profiler and shares out the time.
func (w *world) profile(ctx context.Context, c int, d time.Duration, file string) ([]Share, error) {
	pairs, conns, err := w.connect(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		for i := range pairs {
			pairs[i].close()
			_ = conns[i].Close(ctx)
		}
	}()
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		return nil, err
	}
	var s side
	err = w.slice(ctx, c, d, &s, func(worker int, p *person) error {
		_, err := w.approve(ctx, pairs[worker], p)
		return err
	})
	pprof.StopCPUProfile()
	if err != nil {
		return nil, err
	}
	if file != "" {
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			return nil, err
		}
	}
	p, err := profile.Parse(&out)
	if err != nil {
		return nil, fmt.Errorf("read the profile: %w", err)
	}
	return shares(p, s.units), nil
}

func shares(p *profile.Profile, units int) []Share {
	times := map[string]int64{}
	var total int64
	for _, s := range p.Sample {
		ns := s.Value[len(s.Value)-1]
		times[partOf(s)] += ns
		total += ns
	}
	var out []Share
	for part, ns := range times {
		out = append(out, Share{part, 100 * float64(ns) / float64(total), float64(ns) / 1000 / float64(max(units, 1))})
	}
	slices.SortFunc(out, func(a, b Share) int { return cmp.Compare(b.Percent, a.Percent) })
	return out
}

// partOf names the part of one sample; its first location is the innermost.
func partOf(s *profile.Sample) string {
	var frames []string
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function != nil {
				frames = append(frames, line.Function.Name)
			}
		}
	}
	has := func(prefixes ...string) bool {
		return slices.ContainsFunc(frames, func(f string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f, p) })
		})
	}
	switch {
	case has("countersign/cmd/dev/bench."):
		return client
	case has("runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.gcAssistAlloc"):
		return collector
	}
	for _, f := range frames {
		for _, p := range parts {
			for _, prefix := range p.prefixes {
				if strings.HasPrefix(f, prefix) {
					return p.part
				}
			}
		}
	}
	return rest
}

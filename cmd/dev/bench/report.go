package bench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Goals of the figures, as the report names them.
const (
	goalRatio   = 0.5
	goalSigned  = 0.45   // where phones sign
	goalDelay   = 20.0   // ms, p99
	goalWaiting = 40_000 // bytes
	goalRSS     = 80 << 20
	goalCold    = 1.5 // s
)

// Report is all that was measured.
type Report struct {
	Measured   string       `json:"measured"`
	Excluded   string       `json:"not_measured"`
	Processors int          `json:"processors"`
	Postgres   string       `json:"postgres"`
	Pool       int32        `json:"server_database_connections"`
	Disk       Disk         `json:"disk"`
	Durable    [][]string   `json:"durable_statements"` // by round trip: both sides send these
	Reads      [][]string   `json:"other_statements"`   // by round trip: the server alone sends these
	Throughput []Throughput `json:"throughput"`
	Goal       float64      `json:"goal_ratio"`
	Checks     float64      `json:"signature_checks_per_core_second,omitempty"`
	Delay      *Delay       `json:"release_delay,omitempty"`
	Profile    []Share      `json:"processor_time,omitempty"`
	Waiting    *Waiting     `json:"waiting,omitempty"`
	Process    *Process     `json:"process,omitempty"`
}

const measured = "%s, %s, the browser's 302; number matching with three " +
	"digits; TCP on the loopback, keep-alive; access log on, to a file; client and server share the processors."

// How the browser asks.
const (
	asksAtOnce     = "the browser's POST of choice and answer (the server commits the prompt, pushes, and holds the request)"
	answersByToken = "the phone's POST receive_response with its device token"
	answersSigned  = "the phone's GET pending and its signed POST receive_response, each with a proof of its key (ES256; that of the GET is signed beforehand)"
	asksTwice      = "POST selected_challenge (the server commits the prompt and pushes), the browser's held POST"
)

const excluded = "Password hashing, the steps before the validation stage and after it (the plans are made before), TLS, a push " +
	"provider (the channel accepts at once), background jobs."

// measure runs every part.
func (a *Approvals) measure(ctx context.Context, dir string, progress func(string, ...any)) (_ *Report, err error) {
	asks := asksAtOnce
	if a.Stock {
		asks = asksTwice
	}
	r := &Report{Goal: goalRatio, Measured: fmt.Sprintf(measured, asks, answersByToken), Excluded: excluded, Processors: runtime.GOMAXPROCS(0)}
	if a.Mode == "signed" {
		r.Goal, r.Measured = goalSigned, fmt.Sprintf(measured, asks, answersSigned)
	}
	if !a.skip("process") {
		progress("building the server and starting it on its own cluster")
		if r.Process, err = process(ctx, dir); err != nil {
			return nil, fmt.Errorf("measure the program: %w", err)
		}
	}
	progress("making %d people with phones, sessions and plans", people)
	w, err := build(ctx, dir, slices.Max(a.Concurrency), a.Mode == "signed")
	if err != nil {
		return nil, err
	}
	w.stock, w.trace.watching = a.Stock, a.Stock
	defer func() {
		if e := w.close(); err == nil && e != nil {
			err = fmt.Errorf("stop the server: %w", e)
		}
	}()
	if err := w.admin.QueryRow(ctx, `SELECT current_setting('server_version') || ', fsync ' || current_setting('fsync') ||
		', synchronous_commit ' || current_setting('synchronous_commit')`).Scan(&r.Postgres); err != nil {
		return nil, err
	}
	if w.signed {
		if r.Checks, err = w.signatures(); err != nil {
			return nil, err
		}
	}
	r.Pool = w.app.Pool().Config().MaxConns
	if r.Disk, err = w.disk(ctx); err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	recipe, reads, err := w.capture(ctx)
	if err != nil {
		return nil, fmt.Errorf("record an approval: %w", err)
	}
	r.Durable, r.Reads = texts(recipe.trips), texts(reads)
	for _, c := range a.Concurrency {
		progress("approvals and raw limit in turns, %d at a time", c)
		t, err := w.compare(ctx, recipe, c, a.Duration)
		if err != nil {
			return nil, err
		}
		r.Throughput = append(r.Throughput, t)
	}
	if err := w.check(ctx); err != nil {
		return nil, err
	}
	least := r.Throughput[0].Approvals
	if !a.skip("delay") {
		progress("delay from answer to release, not saturated")
		d, err := w.delay(ctx, least/4, max(a.Duration, 4*time.Second))
		if err != nil {
			return nil, fmt.Errorf("measure the delay: %w", err)
		}
		r.Delay = &d
	}
	if !a.skip("profile") {
		progress("processor time by part")
		if r.Profile, err = w.profile(ctx, a.Concurrency[len(a.Concurrency)-1], max(a.Duration, 5*time.Second), a.Profile); err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
	}
	if a.Waiting > 0 {
		progress("%d logins wait", a.Waiting)
		if r.Waiting, err = w.waiting(ctx, min(a.Waiting, people)); err != nil {
			return nil, fmt.Errorf("measure waiting logins: %w", err)
		}
	}
	return r, nil
}

// check makes sure that both sides did what they say: every prompt was accepted.
func (w *world) check(ctx context.Context) error {
	var other int
	if err := w.admin.QueryRow(ctx, `SELECT count(*) FROM mobile_transactions WHERE status <> 'accept'`).Scan(&other); err != nil {
		return err
	}
	if other > 0 {
		return fmt.Errorf("%d prompts were not accepted: the measurement is void", other)
	}
	return nil
}

func texts(trips []trip) [][]string {
	out := [][]string{}
	for _, t := range trips {
		var one []string
		for _, s := range t {
			one = append(one, strings.Join(strings.Fields(s.sql), " "))
		}
		out = append(out, one)
	}
	return out
}

// text writes the report for people.
func (r *Report) text(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Measured: %s", r.Measured)
	line("Not measured: %s", r.Excluded)
	line("Here: %d processors; PostgreSQL %s; the server has %d connections to it.", r.Processors, r.Postgres, r.Pool)
	line("Disk: fdatasync of 8 KiB p50 %.2f ms, p99 %.2f ms; commit of one row p50 %.2f ms, p99 %.2f ms.", r.Disk.SyncP50, r.Disk.SyncP99, r.Disk.CommitP50, r.Disk.CommitP99)
	line("\nDurable statements, sent by both sides; a round trip each:")
	statements(line, r.Durable)
	line("Reads, sent by the server alone; a round trip each:")
	statements(line, r.Reads)
	line("\n  at a time   approvals/s   raw limit/s   ratio   (p10–p90 of %d-odd slices)   release p50/p99 ms   allocations, KB each", r.Throughput[0].Slices)
	for _, t := range r.Throughput {
		line("  %9d   %11.0f   %11.0f   %5.2f   (%.2f–%.2f)%25.2f / %.2f %18.0f, %.0f", t.Concurrency, t.Approvals, t.Raw, t.Ratio, t.RatioLow, t.RatioHigh, t.P50, t.P99, t.Mallocs, t.Bytes/1000)
	}
	line("\nProcessor time, µs each:   server and client   its PostgreSQL   raw side's pgx   its PostgreSQL")
	for _, t := range r.Throughput {
		line("  %9d at a time   %23.0f   %14.0f   %14.0f   %14.0f", t.Concurrency, t.CPU.Self, t.CPU.Postgres, t.RawCPU.Self, t.RawCPU.Postgres)
	}
	if len(r.Profile) > 0 {
		line("What eats it in the process of server and client (%d at a time):", r.Throughput[len(r.Throughput)-1].Concurrency)
		for _, s := range r.Profile {
			line("  %5.1f %%  %5.0f µs  %s", s.Percent, s.Micros, s.Part)
		}
	}
	line("")
	goal := func(ok bool) string { return map[bool]string{true: "ok", false: "MISSED"}[ok] }
	for _, t := range r.Throughput {
		line("%-6s ratio at %d: %.2f (goal ≥ %.2f)", goal(t.Ratio >= r.Goal), t.Concurrency, t.Ratio, r.Goal)
	}
	if r.Checks > 0 {
		line("       one core checks %.0f signed answers a second", r.Checks)
	}
	if d := r.Delay; d != nil {
		line("%-6s answer to release at %.0f approvals/s: p50 %.1f ms, p99 %.1f ms, max %.1f ms of %d (goal p99 < %.0f ms)", goal(d.P99 < goalDelay), d.Rate, d.P50, d.P99, d.Max, d.Samples, goalDelay)
	}
	if m := r.Waiting; m != nil {
		line("%-6s a waiting login: %.1f kB (heap %.1f, stacks %.1f; RSS %.1f) at %d, reached in %.0f s, %d database connections in use (goal < %d kB)",
			goal(m.BytesPer < goalWaiting), m.BytesPer/1000, m.HeapPer/1000, m.StackPer/1000, m.RSSPer/1000, m.Logins, m.Seconds, m.PostgresHeld, goalWaiting/1000)
	}
	if p := r.Process; p != nil {
		line("%-6s server at rest: %.0f MB RSS, binary %.0f MB (goal < %d MB)", goal(p.RSS < goalRSS), float64(p.RSS)/(1<<20), float64(p.Binary)/(1<<20), goalRSS>>20)
		line("%-6s cold start: %.2f s beyond PostgreSQL's own %.2f s; the first start took %.2f s (goal < %.1f s)", goal(p.Cold < goalCold), p.Cold, p.Postgres, p.FirstSeconds, goalCold)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func statements(line func(string, ...any), trips [][]string) {
	for i, t := range trips {
		for j, s := range t {
			mark := "  "
			if j == 0 {
				mark = fmt.Sprintf("%d.", i+1)
			}
			if len(s) > 150 {
				s = s[:147] + "…"
			}
			line("  %s %s", mark, s)
		}
	}
}

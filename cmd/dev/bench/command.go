package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"
)

// Command are the measurements.
type Command struct {
	Approvals Approvals `cmd:"" help:"Approvals a second against the raw limit of the database, delays, memory, start."`
	Phones    Phones    `cmd:"" help:"Phones that are held on a socket or a long poll: bytes for each, wake-up, idle processor time."`
	Outage    Outage    `cmd:"" help:"Logins while the push service is gone: how long they take, and that no push outlives its prompt."`

	HoldPhones HoldPhones `cmd:"" hidden:"" help:"Have phones held; started by phones."`

	Hold Hold `cmd:"" hidden:"" help:"Hold waiting logins open; started by approvals."`
}

// Approvals measures the main job.
type Approvals struct {
	JSON        bool          `help:"Print one JSON object."`
	Min         float64       `placeholder:"R" help:"Fail when approvals are less than R times the raw limit at any concurrency."`
	Concurrency []int         `default:"1,8,64" help:"How many logins at a time."`
	Duration    time.Duration `default:"5s" help:"How long to measure approvals, and as long the raw limit, at each concurrency."`
	Waiting     int           `default:"10000" help:"Logins that wait at once while memory is measured; 0 leaves it out."`
	Skip        []string      `placeholder:"PART" enum:"process,delay,profile" help:"Leave out parts: process (RSS and start of the built binary), delay, profile."`
	Mode        string        `default:"bearer" enum:"bearer,signed" help:"How phones answer: by their token, or by signatures (the phone then fetches what the server signed)."`
	Stock       bool          `help:"Ask and wait in two requests, as authentik's own page does; ours needs one."`
	Profile     string        `type:"path" placeholder:"FILE" help:"Write the CPU profile there."`
	Dir         string        `type:"path" placeholder:"DIR" help:"Directory for the databases, on the disk that is to be measured; a temporary one is made in it."`
}

// Run measures and prints. It fails when a measurement fails or the ratio is below Min.
func (a *Approvals) Run(ctx context.Context, k *kong.Context) error {
	for _, c := range a.Concurrency {
		if c < 1 || c > people {
			return fmt.Errorf("--concurrency: 1 to %d", people)
		}
	}
	progress := func(format string, args ...any) { _, _ = fmt.Fprintf(k.Stderr, format+"\n", args...) }
	dir, err := os.MkdirTemp(a.Dir, "countersign-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	report, err := a.measure(ctx, dir, progress)
	if err != nil {
		return err
	}
	if err := a.print(k.Stdout, report); err != nil {
		return err
	}
	for _, r := range report.Throughput {
		if r.Ratio < a.Min {
			return fmt.Errorf("%.2f of the raw limit at %d at a time; at least %.2f is asked", r.Ratio, r.Concurrency, a.Min)
		}
	}
	return nil
}

func (a *Approvals) print(w io.Writer, r *Report) error {
	if !a.JSON {
		return r.text(w)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

func (a *Approvals) skip(part string) bool {
	for _, s := range a.Skip {
		if s == part {
			return true
		}
	}
	return false
}

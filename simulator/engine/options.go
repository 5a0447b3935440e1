package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/event"
	"countersign/simulator/fcm"
	"countersign/simulator/maker"
	"countersign/simulator/phone"
	"countersign/simulator/scenario"
)

const (
	callLimit    = 30 * time.Second
	loginLimit   = 15 * time.Minute // an answer window is at most ten
	leaveLimit   = time.Minute
	provisioners = 8
	maxFlying    = 20_000 // logins; more are not begun, and count as wrong
)

// Push is the push service that the server under test sends to.
type Push interface {
	phone.Source
	SetConditions(ctx context.Context, c fcm.Conditions) error
}

// Local is a double in this process as a Push.
func Local(d *fcm.Double) Push { return local{d} }

type local struct{ *fcm.Double }

// SetConditions sets what every send meets.
func (l local) SetConditions(_ context.Context, c fcm.Conditions) error {
	return l.Double.SetConditions(c)
}

// Meter knows the metrics of a run, for its thresholds.
type Meter interface {
	event.Sink
	// Value is a metric's value; false where the run has none.
	Value(metric, aggregation string, quantile float64) (float64, bool)
}

// Options of a run. Scenario and Meter are needed, and Token and Push for a target that is a URL.
type Options struct {
	Scenario scenario.Scenario
	Seed     uint64
	Token    string // of an administrator who may create users
	Push     Push
	Program  string     // of the server, for nodes of our own; see world.Find
	Dir      string     // where their data go; "": a temporary directory
	Sink     event.Sink // told everything, besides Meter
	Meter    Meter
	Prefix   string   // of user names; default "simulated-"
	Keep     bool     // leave the users on a server that is not ours
	Control  *Control // to pause and step by; nil: nobody does
	Version  string   // of the program, for the log
	Command  string   // that repeats the run, for the log
}

// Verdict is how a run went. The zero Verdict is success.
type Verdict struct {
	Wrong       int      // logins that ended as they should not
	Failed      []string // checks
	Crossed     []string // thresholds
	Unreachable error    // the target was not there, or went away
	Interrupted bool
}

// ErrUnreachable says that the target cannot be reached.
var ErrUnreachable = errors.New("target unreachable")

// rng is the stream of draws of one purpose, whose is its owner's number.
func rng(seed uint64, purpose string, whose int) *rand.Rand {
	h := fnv.New64a()
	_, _ = io.WriteString(h, purpose)
	return rand.New(rand.NewPCG(seed^h.Sum64(), uint64(whose))) //nolint:gosec // G404: draws that a seed repeats, no secrets
}

// bytesOf is the same as bytes, for names and keys of simulated phones, which protect nothing.
func bytesOf(seed uint64, purpose string, whose int) io.Reader {
	var key [32]byte
	draws := rng(seed, purpose, whose)
	for i := range 4 {
		binary.LittleEndian.PutUint64(key[8*i:], draws.Uint64())
	}
	return rand.NewChaCha8(key)
}

// Words are those of a scenario whose meaning is this package's; metrics are its Meter's.
func Words(metrics []string) scenario.Words {
	var attests []string
	for _, f := range maker.Faults() {
		attests = append(attests, string(f))
	}
	return scenario.Words{Habits: Habits(), Param: takes, Counters: Counters(), Metrics: metrics, Modes: modes(), Attests: attests}
}

// modes are the words for how an answer is matched.
func modes() []string {
	var out []string
	for _, m := range wire.Modes() {
		out = append(out, string(m))
	}
	return out
}

// Planned counts the logins that a scenario plans in all, and of them those of its open streams; 0 in all where a closed stream goes
// by time.
func Planned(s scenario.Scenario, seed uint64) (open, all int) {
	for schedule := newSchedule(seed, s.Logins); ; open++ {
		if _, ok := schedule.next(); !ok {
			break
		}
	}
	all = open
	for _, l := range s.Logins {
		if l.People > 0 && l.Count == 0 {
			return open, 0
		}
		if l.People > 0 {
			all += l.Count
		}
	}
	return open, all
}

package engine_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"countersign/simulator/engine"
	"countersign/simulator/event"
	"countersign/simulator/fcm"
	"countersign/simulator/scenario"
	"countersign/simulator/standin"
)

// meter is a Meter without metrics.
type meter struct{}

func (meter) Take(event.Event) {}

func (meter) Value(string, string, float64) (float64, bool) { return 0, false }

// push is the stand-in as its own push service, which has no conditions.
type push struct{ *standin.Server }

func (push) SetConditions(context.Context, fcm.Conditions) error { return nil }

func read(t *testing.T, text string) scenario.Scenario {
	t.Helper()
	list, err := scenario.Read(fstest.MapFS{"s.yaml": {Data: []byte(text)}}, "s.yaml", scenario.Words{Habits: engine.Habits(), Counters: engine.Counters()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

const virtual = `
name: virtual
clock: virtual
target: {answer_window: 30s}
phones:
- {name: quick, count: 4, people: [{do: approve, after: 1s, spread: 3s}]}
- {name: slow, count: 10, people: [{do: approve, share: 6, after: 2s, spread: 20s}, {do: deny, share: 1, after: 1s}, {do: wrong_number, share: 1, after: 500ms}, {do: ignore, share: 1}]}
logins:
- {rate: 2, until: 60s, arrival: poisson, phones: [quick]}
- {people: 10, count: 40, pause: 5s, phones: [slow]}
faults:
- {name: slow-push, on: delivery, from: 10s, until: 20s, latency: 400ms, jitter: 300ms, duplicate: 0.3}
- {name: slow-calls, on: phone, toxicity: 0.5, latency: 50ms, jitter: 50ms}
- {name: bad-net, on: browser, from: 15s, until: 25s, latency: 80ms, distribution: exponential}
checks:
- wrong == 0
- approved_unanswered == 0
- approved_twice == 0
- finished == logins
- phones == 14
`

func play(t *testing.T, s scenario.Scenario, seed uint64) (engine.Verdict, string) {
	t.Helper()
	var out bytes.Buffer
	log := event.NewLog(&out, s.Clock == "virtual")
	v, err := engine.Run(context.Background(), engine.Options{Scenario: s, Seed: seed, Meter: meter{}, Sink: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return v, out.String()
}

func TestEqualSeedsHaveEqualLogs(t *testing.T) {
	s := read(t, virtual)
	v, first := play(t, s, 7)
	if v.Wrong != 0 || len(v.Failed) != 0 {
		t.Errorf("%+v", v)
	}
	for range 3 {
		if _, again := play(t, s, 7); again != first {
			a, b := strings.Split(first, "\n"), strings.Split(again, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Fatalf("the same seed gives another log, from line %d on:\n%s\n%s", i+1, a[i], b[i])
				}
			}
			t.Fatal("the same seed gives another log")
		}
	}
	if _, other := play(t, s, 8); other == first {
		t.Error("another seed gives the same log")
	}
}

package demo

import (
	"context"
	"net/http"
	"time"

	"countersign/simulator/desk"
	"countersign/simulator/engine"
	"countersign/simulator/event"
	"countersign/simulator/report"
	"countersign/simulator/scenario"
)

// colleagues are people with phones who log in now and then, so that there is something to see.
var colleagues = scenario.Scenario{
	Name: "Demo", About: "Eight colleagues of Ada sign in now and then. Take a phone over and answer it yourself.", Clock: "wall", Seed: 1,
	Phones: []scenario.Phones{{
		Name: "colleagues", Count: 8, Kind: "verifying", Learns: "push",
		People: []scenario.Habit{
			{Do: "approve", Share: 7, After: 2 * time.Second, Spread: 6 * time.Second},
			{Do: "deny", Share: 1, After: 2 * time.Second},
			{Do: "wrong_number", Share: 1, After: 2 * time.Second},
			{Do: "ignore", Share: 1},
		},
	}},
	Logins: []scenario.Logins{{Phones: []string{"colleagues"}, People: 8, Until: 168 * time.Hour, Pause: 20 * time.Second}},
}

// Desk is the simulator's desk over Ada's colleagues, who come until ctx ends; wait waits until they have gone.
func (s *Stage) Desk(ctx context.Context) (page http.Handler, wait func() error) {
	figures := report.New()
	hub := desk.NewHub(figures, nil)
	control := &engine.Control{}
	ended := make(chan error, 1)
	go func() {
		run := colleagues
		run.Target.URL = s.base
		_, err := engine.Run(ctx, engine.Options{
			Scenario: run, Seed: run.Seed, Token: s.token, Push: engine.Local(s.double), Meter: figures, Sink: event.Sinks{hub}, Control: control,
			Prefix: "colleague-",
		})
		ended <- err
	}()
	return desk.New(hub, control, desk.Options{}), func() error { return <-ended }
}

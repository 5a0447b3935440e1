package cli

import (
	"fmt"
	"time"

	"countersign/simulator/report"
)

type soakCmd struct {
	runCmd
	For    time.Duration `help:"For how long." default:"1h"`
	Growth float64       `help:"Growth of memory, or of goroutines, on either side that is still well, from the second to the last quarter." default:"0.2"`
}

// Help is the long text of --help.
func (soakCmd) Help() string {
	return `Lets the scenario's logins come for so long, whatever count and until say, and watches memory and goroutines of simulator and
server. What grows by more than --growth makes the exit code 1. Scenarios whose faults and acts come once keep them so.`
}

// Run runs the scenario for long.
func (c *soakCmd) Run(e *env) error {
	cases, err := c.read()
	if err != nil {
		return err
	}
	for i := range cases {
		s := &cases[i]
		if err := c.change(s); err != nil {
			return &exitError{report.ExitScenario, err}
		}
		s.Soak = c.Growth
		for j := range s.Logins {
			s.Logins[j].Count, s.Logins[j].Until = 0, s.Logins[j].From+c.For
		}
	}
	return c.drive(e, cases, func(seed uint64) string {
		return fmt.Sprintf("simulator soak %s%s --for %s --seed %d", c.shown(), c.sets(), c.For, seed)
	})
}

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"countersign/simulator/event"
	"countersign/simulator/report"
	"countersign/simulator/scenario"
)

type replayCmd struct {
	Log string `arg:"" help:"Log of a run, JSON Lines." type:"existingfile"`
	driveFlags
}

// Help is the long text of --help.
func (replayCmd) Help() string {
	return `Runs the scenario of a log again, with its seed: the same people do the same at the same time. Then says which logins ended
otherwise than in the log; where there are such, the exit code is 1. Under a virtual clock the two logs have to be equal, byte for byte.`
}

// Run runs a log's scenario again and compares.
func (c *replayCmd) Run(e *env) error {
	text, err := os.ReadFile(c.Log)
	if err != nil {
		return err
	}
	before, header, err := outcomes(bytes.NewReader(text))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return &exitError{report.ExitScenario, fmt.Errorf("%s: %w", c.Log, err)}
	}
	var s scenario.Scenario
	if err := json.Unmarshal(header.Spec, &s); err != nil {
		return &exitError{report.ExitScenario, fmt.Errorf("%s: read its scenario: %w", c.Log, err)}
	}
	s.Seed = header.Seed
	if c.Server != "" {
		s.Target.URL = c.Server
	}
	if c.Events == "" {
		dir, err := os.MkdirTemp("", "simulator-replay-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		c.Events = filepath.Join(dir, "events.jsonl")
	}
	played := c.drive(e, []scenario.Scenario{s}, func(uint64) string { return header.Command })
	now, err := os.ReadFile(perCase(c.Events, caseName(s)))
	if err != nil {
		return errors.Join(played, err)
	}
	after, _, err := outcomes(bytes.NewReader(now))
	if err != nil {
		return errors.Join(played, err)
	}
	return c.compare(e, before, after, header.Clock == "virtual" && !bytes.Equal(text, now), played)
}

// compare tells the logins that ended otherwise.
func (c *replayCmd) compare(e *env, before, after map[int]string, unequal bool, played error) error {
	const most = 20
	other := 0
	for login := range len(before) {
		if was, is := before[login+1], after[login+1]; was != is {
			if other++; other <= most {
				tell(e.out, "login %d: %s then, %s now\n", login+1, orNone(was), orNone(is))
			}
		}
	}
	switch {
	case other > 0:
		tell(e.out, "%d of %d logins ended otherwise.\n", other, len(before))
		return &exitError{code: report.ExitWrong}
	case unequal:
		tell(e.out, "All logins ended as then, but the logs are not equal.\n")
		return &exitError{code: report.ExitWrong}
	}
	tell(e.out, "All %d logins ended as then.\n", len(before))
	return played
}

func orNone(outcome string) string {
	if outcome == "" {
		return "no end"
	}
	return outcome
}

// outcomes are those of a log's logins.
func outcomes(r io.Reader) (map[int]string, event.Header, error) {
	out := map[int]string{}
	var header event.Header
	err := event.Read(r, func(e event.Event) error {
		switch e.Kind {
		case event.RunBegun:
			header = *e.Header
		case event.LoginEnded:
			out[e.Login] = e.Outcome
		}
		return nil
	})
	return out, header, err
}

package cli

import (
	"fmt"

	"countersign/simulator/engine"
	"countersign/simulator/report"
	"countersign/simulator/scenario"
)

type lintCmd struct{ scenarioFlags }

// Run checks a scenario and runs nothing.
func (c *lintCmd) Run(e *env) error {
	cases, err := c.read()
	if err != nil {
		return err
	}
	for _, s := range cases {
		_, logins := engine.Planned(s, s.Seed)
		people := 0
		for _, g := range s.Phones {
			people += g.Count
		}
		text := fmt.Sprintf("%d logins", logins)
		if logins == 0 {
			text = "as many logins as the time gives"
		}
		if name := caseName(s); name != "" {
			text += ", " + name
		}
		tell(e.out, "%s: %d phones, %s\n", s.Name, people, text)
	}
	return nil
}

type schemaCmd struct{}

// Run prints the JSON schema of scenarios.
func (schemaCmd) Run(e *env) error {
	text, err := scenario.Schema(engine.Words(report.New().Metrics()))
	if err == nil {
		_, err = e.out.Write(text)
	}
	return err
}

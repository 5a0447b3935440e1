package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"countersign/simulator/verdict"
)

// Result is how one attack ended.
type Result struct {
	Attack
	Outcome  verdict.Outcome `json:"outcome"`
	Observed string          `json:"observed"` // in a line: what broke, or why it was not applicable, or what was seen
	Evidence []verdict.Probe `json:"evidence"` // all that was tried
	Took     time.Duration   `json:"took"`
}

// Report is how a run went.
type Report struct {
	Server      string        `json:"server"`
	Seed        uint64        `json:"seed"`
	Began       time.Time     `json:"began"`
	Took        time.Duration `json:"took"`
	Target      Target        `json:"target"`
	Results     []Result      `json:"results"`
	Interrupted bool          `json:"interrupted,omitempty"`
}

// Err is verdict.ErrBroken, verdict.ErrIncomplete or nil.
func (r *Report) Err() error {
	var all []verdict.Outcome
	for _, one := range r.Results {
		all = append(all, one.Outcome)
	}
	return verdict.Err(all)
}

// Count counts the results of an outcome.
func (r *Report) Count(o verdict.Outcome) int {
	n := 0
	for _, one := range r.Results {
		if one.Outcome == o {
			n++
		}
	}
	return n
}

// minTable is the width from which the table names the requirements.
const minTable = 60

// Text writes the report for a person: each attack, and a table of all, in lines of at most width columns, 40 at the least; 0 is a width that is not known.
func (r *Report) Text(w io.Writer, width int) error {
	p := verdict.NewPage(width)
	p.Paragraph("", "", fmt.Sprintf("Attacks on %s, seed %d", r.Server, r.Seed))
	p.Paragraph("", "", r.Target.String())
	p.Line("")
	for _, one := range r.Results {
		p.Paragraph("", "", fmt.Sprintf("%-14s  %s (%s)", strings.ToUpper(string(one.Outcome)), one.Name, strings.Join(one.Proves, ", ")))
		p.Paragraph("    ", "    ", "tried: "+one.Does)
		if one.Outcome != verdict.NotApplicable {
			p.Paragraph("    ", "    ", "expected: "+one.Expects)
		}
		p.Paragraph("    ", "    ", "observed: "+one.Observed)
		if one.Outcome == verdict.Broken {
			for _, probe := range one.Evidence {
				if !probe.Held {
					p.Paragraph("      - ", "        ", probe.Tried+": "+probe.Got)
				}
			}
		}
	}
	p.Line("")
	for _, one := range r.Results {
		line := fmt.Sprintf("%-22s  %-14s", one.Name, one.Outcome)
		if p.Width() > minTable {
			line += "  " + strings.Join(one.Proves, " ")
		}
		p.Line(strings.TrimRight(line, " "))
	}
	p.Line("")
	p.Paragraph("", "", fmt.Sprintf("%d held, %d broken, %d not applicable, %d failed; %d tries in %s.",
		r.Count(verdict.Held), r.Count(verdict.Broken), r.Count(verdict.NotApplicable), r.Count(verdict.Failed), r.tries(), r.Took.Round(time.Second/10)))
	if r.Interrupted {
		p.Paragraph("", "", "Interrupted: not all attacks were carried out.")
	}
	_, err := p.WriteTo(w)
	return err
}

// String says what was found of a target.
func (t Target) String() string {
	keys := "without keys"
	switch {
	case t.Keys && t.Stock:
		keys = "with keys and without"
	case t.Keys:
		keys = "with keys only"
	}
	return fmt.Sprintf("It takes phones %s, asks by %s, for %s; answers have to be %s.", keys, t.Mode, t.Window, t.Demanded)
}

func (r *Report) tries() int {
	n := 0
	for _, one := range r.Results {
		n += len(one.Evidence)
	}
	return n
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// JUnit writes the report as JUnit XML, a case for each attack.
func (r *Report) JUnit(w io.Writer) error {
	var cases []verdict.Case
	for _, one := range r.Results {
		cases = append(cases, verdict.Case{
			Class: "attack", Name: one.Name, Outcome: one.Outcome, Observed: one.Observed, Evidence: one.Evidence, Took: one.Took,
		})
	}
	return verdict.JUnit(w, "attack", r.Began, r.Took, cases)
}

package conformance

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Verdict is what is known of one requirement.
type Verdict struct {
	Requirement
	Holds bool     `json:"holds"`
	Why   string   `json:"why,omitempty"` // it does not
	Tests []Proved `json:"tests"`
}

// Proved is a test with how it ended.
type Proved struct {
	Test
	outcome
}

// Report is the whole.
type Report struct {
	Holds    int       `json:"holds"`
	Of       int       `json:"of"`
	Verdicts []Verdict `json:"requirements"`
}

// judge puts requirements, tests and results together.
func judge(requirements []Requirement, tests []Test, results map[key]outcome) Report {
	r := Report{Of: len(requirements)}
	for _, q := range requirements {
		v := Verdict{Requirement: q, Tests: []Proved{}}
		count := map[Result]int{}
		for _, t := range tests {
			for _, id := range t.Proves {
				if id != q.ID {
					continue
				}
				o, ran := results[key{t.Package, t.Name}]
				if !ran {
					o.Result = NotRun
				}
				count[o.Result]++
				v.Tests = append(v.Tests, Proved{t, o})
			}
		}
		switch {
		case len(v.Tests) == 0:
			v.Why = "no test proves it"
		case count[Failed] > 0:
			v.Why = fmt.Sprintf("failed: %d of %d tests", count[Failed], len(v.Tests))
		case count[Passed] == 0:
			v.Why = "none of its tests ran"
		default:
			v.Holds = true
			r.Holds++
		}
		r.Verdicts = append(r.Verdicts, v)
	}
	return r
}

// text writes the report for people; listed: nothing was run.
func (r Report) text(w io.Writer, listed bool) error {
	var b strings.Builder
	for _, v := range r.Verdicts {
		mark := "holds"
		if !v.Holds {
			mark = "DOES NOT HOLD: " + v.Why
		}
		if listed {
			mark = fmt.Sprintf("%d tests", len(v.Tests))
		}
		fmt.Fprintf(&b, "%-4s %s\n     %s\n     %s\n", v.ID, mark, v.Text, v.Source)
		for _, t := range v.Tests {
			if !listed {
				fmt.Fprintf(&b, "     %-8s %6.2fs ", t.Result, t.Seconds)
			}
			fmt.Fprintf(&b, "     %s (%s:%d)\n", t.Name, t.File, t.Line)
			if t.Output != "" {
				fmt.Fprintf(&b, "         %s\n", strings.ReplaceAll(strings.TrimSpace(t.Output), "\n", "\n         "))
			}
		}
		b.WriteByte('\n')
	}
	if !listed {
		fmt.Fprintf(&b, "%d of %d requirements hold\n", r.Holds, r.Of)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// The form of JUnit that the continuous integrations read: a suite a requirement, a case a test.
type (
	junit struct {
		XMLName xml.Name     `xml:"testsuites"`
		Name    string       `xml:"name,attr"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    float64       `xml:"time,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Failure *junitMessage `xml:"failure"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (r Report) junit(w io.Writer) error {
	out := junit{Name: "conformance"}
	for _, v := range r.Verdicts {
		s := junitSuite{Name: v.ID + ": " + v.Text}
		for _, t := range v.Tests {
			c := junitCase{Class: strings.TrimPrefix(t.Package, "./"), Name: t.Name, Time: t.Seconds, File: t.File}
			switch t.Result {
			case Failed:
				c.Failure = &junitMessage{Message: "failed", Text: t.Output}
				s.Failures++
			case Skipped, NotRun:
				c.Skipped = &junitMessage{Message: string(t.Result)}
				s.Skipped++
			case Passed:
			}
			s.Cases = append(s.Cases, c)
		}
		if len(v.Tests) == 0 {
			s.Cases = append(s.Cases, junitCase{Class: "conformance", Name: v.ID, Failure: &junitMessage{Message: v.Why}})
			s.Failures++
		}
		s.Tests = len(s.Cases)
		out.Suites = append(out.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	return e.Encode(out)
}

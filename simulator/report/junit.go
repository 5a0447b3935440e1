package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
)

type junitSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Time     string     `xml:"time,attr"`
	Suite    junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the summary as JUnit XML: a case for each check and threshold, one for the logins, one for the run's own end.
func (s *Summary) JUnit(w io.Writer) error {
	var cases []junitCase
	add := func(class, name string, failure *junitFailure) {
		cases = append(cases, junitCase{Class: s.Scenario + "." + class, Name: name, Failure: failure})
	}
	add("logins", "every login ended as it should", s.loginsFailure())
	var end *junitFailure
	if s.Ended != endDone {
		why := s.Ended
		if why == "" {
			why = "the log breaks off"
		}
		end = &junitFailure{Message: why}
	}
	add("run", "the run came to its end", end)
	for _, group := range []struct {
		class string
		list  []Result
	}{{"checks", s.Checks}, {"thresholds", s.Thresholds}} {
		for _, r := range group.list {
			var failure *junitFailure
			if !r.Passed {
				failure = &junitFailure{Message: r.Text, Text: r.Name + ": " + r.Text}
			}
			add(group.class, r.Name, failure)
		}
	}
	failures := 0
	for _, c := range cases {
		if c.Failure != nil {
			failures++
		}
	}
	seconds := strconv.FormatFloat(millis(s.Duration)/1000, 'f', 3, 64)
	out := junitSuites{Tests: len(cases), Failures: failures, Time: seconds, Suite: junitSuite{
		Name: s.Scenario, Tests: len(cases), Failures: failures, Time: seconds,
		Timestamp: s.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{
			{"seed", strconv.FormatUint(s.Seed, 10)}, {"command", s.Command}, {"clock", s.Clock}, {"server", s.Server},
			{"version", s.Version}, {"verdict", s.Verdict},
		},
		Cases: cases,
	}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *Summary) loginsFailure() *junitFailure {
	c := s.Counts
	if c.Wrong == 0 && (s.Ended != endDone || c.Unfinished == 0) {
		return nil
	}
	var text strings.Builder
	for _, l := range s.Wrong[:min(len(s.Wrong), describedWrong)] {
		fmt.Fprintf(&text, "login %d, phone %d: %s, wanted %s: %s. %s\n", l.Login, l.Phone, l.Outcome, l.Want, l.Wrong, l.Text)
	}
	return &junitFailure{
		Message: fmt.Sprintf("%d of %d ended wrong, %d did not end", c.Wrong, c.Ended, c.Unfinished), Text: text.String(),
	}
}

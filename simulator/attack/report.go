package attack

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrBroken is the error of a report in which an attack broke the server.
var ErrBroken = errors.New("an attack broke the server")

// ErrIncomplete is the error of a report with attacks that could not be carried out.
var ErrIncomplete = errors.New("attacks could not be carried out")

// Result is how one attack ended.
type Result struct {
	Attack
	Outcome  Outcome       `json:"outcome"`
	Observed string        `json:"observed"` // in a line: what broke, or why it was not applicable, or what was seen
	Evidence []Probe       `json:"evidence"` // all that was tried
	Took     time.Duration `json:"took"`
}

// judge decides by what was noted, and by what the attack ended with.
func (r *Result) judge(t *trial, err error) {
	r.Evidence, r.Observed = t.probes, t.observed
	var skipped inapplicable
	broken := 0
	first := ""
	for _, p := range t.probes {
		if !p.Held {
			if broken++; broken == 1 {
				first = p.Tried + ": " + p.Got
			}
		}
	}
	switch {
	case broken > 0:
		r.Outcome, r.Observed = Broken, first
		if broken > 1 {
			r.Observed += fmt.Sprintf(" (and %d more)", broken-1)
		}
	case errors.As(err, &skipped):
		r.Outcome, r.Observed = NotApplicable, skipped.reason
	case err != nil:
		r.Outcome, r.Observed = Failed, err.Error()
	case len(t.probes) == 0:
		r.Outcome, r.Observed = Failed, "nothing was tried"
	default:
		r.Outcome = Held
	}
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

// Err is ErrBroken, ErrIncomplete or nil.
func (r *Report) Err() error {
	var incomplete error
	for _, one := range r.Results {
		switch one.Outcome {
		case Broken:
			return ErrBroken
		case Failed:
			incomplete = ErrIncomplete
		}
	}
	return incomplete
}

// Count counts the results of an outcome.
func (r *Report) Count(o Outcome) int {
	n := 0
	for _, one := range r.Results {
		if one.Outcome == o {
			n++
		}
	}
	return n
}

// The widths of a terminal: the narrowest that is written for, and the one of which nothing is known.
const (
	minWidth   = 40
	usualWidth = 100
)

// Text writes the report for a person, in lines of at most width columns, 40 at the least; 0 is a width that is not known.
func (r *Report) Text(w io.Writer, width int) error {
	width = max(cmp.Or(width, usualWidth), minWidth)
	var b strings.Builder
	paragraph(&b, width, "", "", fmt.Sprintf("Attacks on %s, seed %d", r.Server, r.Seed))
	keys := "no keys"
	switch {
	case r.Target.Keys && r.Target.Stock:
		keys = "with keys and without"
	case r.Target.Keys:
		keys = "with keys only"
	}
	paragraph(&b, width, "", "", fmt.Sprintf("It takes phones %s, asks by %s, for %s; answers: %s.", keys, r.Target.Mode, r.Target.Window, r.Target.Demanded))
	b.WriteByte('\n')
	for _, one := range r.Results {
		paragraph(&b, width, "", "", fmt.Sprintf("%-14s  %s (%s)", strings.ToUpper(string(one.Outcome)), one.Name, strings.Join(one.Proves, ", ")))
		paragraph(&b, width, "    ", "    ", "tried: "+one.Does)
		if one.Outcome != NotApplicable {
			paragraph(&b, width, "    ", "    ", "expected: "+one.Expects)
		}
		paragraph(&b, width, "    ", "    ", "observed: "+one.Observed)
		if one.Outcome == Broken {
			for _, p := range one.Evidence {
				if !p.Held {
					paragraph(&b, width, "      - ", "        ", p.Tried+": "+p.Got)
				}
			}
		}
	}
	b.WriteByte('\n')
	paragraph(&b, width, "", "", fmt.Sprintf("%d held, %d broken, %d not applicable, %d failed; %d tries in %s.",
		r.Count(Held), r.Count(Broken), r.Count(NotApplicable), r.Count(Failed), r.tries(), r.Took.Round(time.Second/10)))
	if r.Interrupted {
		paragraph(&b, width, "", "", "Interrupted: not all attacks were carried out.")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) tries() int {
	n := 0
	for _, one := range r.Results {
		n += len(one.Evidence)
	}
	return n
}

// paragraph writes text in lines of at most width columns; a word that is longer is broken.
func paragraph(b *strings.Builder, width int, first, rest, text string) {
	indent, column := first, 0
	b.WriteString(indent)
	column = utf8.RuneCountInString(indent)
	fresh := true
	for i, word := range strings.Split(text, " ") {
		size := utf8.RuneCountInString(word)
		if !fresh && column+1+size > width {
			b.WriteString("\n" + rest)
			column, fresh = utf8.RuneCountInString(rest), true
		}
		if !fresh || i > 0 && word == "" {
			b.WriteByte(' ')
			column++
		}
		for column+size > width {
			cut := []rune(word)[:max(width-column, 1)]
			b.WriteString(string(cut) + "\n" + rest)
			word = string([]rune(word)[len(cut):])
			size, column = utf8.RuneCountInString(word), utf8.RuneCountInString(rest)
		}
		b.WriteString(word)
		column += size
		fresh = false
	}
	b.WriteByte('\n')
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// JUnit writes the report as JUnit XML, a case for each attack: broken is a failure, failed an error, not applicable is skipped.
func (r *Report) JUnit(w io.Writer) error {
	type message struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",cdata"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Time    string   `xml:"time,attr"`
		Failure *message `xml:"failure"`
		Error   *message `xml:"error"`
		Skipped *message `xml:"skipped"`
		Out     string   `xml:"system-out,omitempty"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Stamp    string     `xml:"timestamp,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
	out := suite{
		Name: "attack", Tests: len(r.Results), Failures: r.Count(Broken), Errors: r.Count(Failed), Skipped: r.Count(NotApplicable),
		Time: seconds(r.Took), Stamp: r.Began.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, one := range r.Results {
		c := testcase{Class: "attack", Name: one.Name, Time: seconds(one.Took)}
		var evidence strings.Builder
		for _, p := range one.Evidence {
			sign := "held"
			if !p.Held {
				sign = "BROKEN"
			}
			fmt.Fprintf(&evidence, "%s: %s: %s\n", sign, p.Tried, p.Got)
		}
		told := &message{Message: one.Observed, Text: evidence.String()}
		switch one.Outcome {
		case Broken:
			c.Failure = told
		case Failed:
			c.Error = told
		case NotApplicable:
			c.Skipped = told
		default:
			c.Out = evidence.String()
		}
		out.Cases = append(out.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

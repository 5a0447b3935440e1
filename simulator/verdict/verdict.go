package verdict

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Outcome is what came of a case.
type Outcome string

// The outcomes.
const (
	Held          Outcome = "held"           // the server did what it is expected to
	Broken        Outcome = "broken"         // it did not
	NotApplicable Outcome = "not applicable" // as the server is set up, there is nothing to look at
	NotObservable Outcome = "not observable" // it cannot be seen from outside
	Failed        Outcome = "failed"         // it could not be tried, which says nothing of the server
)

// ErrBroken is the error of a report with a case that is broken.
var ErrBroken = errors.New("the server is broken")

// ErrIncomplete is the error of a report with cases that could not be tried.
var ErrIncomplete = errors.New("not all could be tried")

// Err is ErrBroken if one of the outcomes is that, ErrIncomplete if one failed, or nil.
func Err(outcomes []Outcome) error {
	var incomplete error
	for _, one := range outcomes {
		switch one {
		case Broken:
			return ErrBroken
		case Failed:
			incomplete = ErrIncomplete
		}
	}
	return incomplete
}

// Probe is one thing that was tried, and what came of it.
type Probe struct {
	Tried string `json:"tried"`
	Got   string `json:"got"`
	Held  bool   `json:"held"`
}

// Skip is the error of a case that is not applicable, and says why.
type Skip struct{ Reason string }

func (e Skip) Error() string { return e.Reason }

// Judge decides by what was tried, and by the error with which trying ended: the first probe that does not hold is what was
// observed. held is what is said where all did.
func Judge(probes []Probe, err error, held string) (o Outcome, observed string) {
	var skip Skip
	broken := 0
	for _, p := range probes {
		if !p.Held {
			if broken++; broken == 1 {
				observed = p.Tried + ": " + p.Got
			}
		}
	}
	switch {
	case broken > 1:
		return Broken, fmt.Sprintf("%s (and %d more)", observed, broken-1)
	case broken == 1:
		return Broken, observed
	case errors.As(err, &skip):
		return NotApplicable, skip.Reason
	case err != nil:
		return Failed, err.Error()
	case len(probes) == 0:
		return Failed, "nothing was tried"
	}
	return Held, held
}

// The widths of a terminal: the narrowest that is written for, and the one of which nothing is known.
const (
	minWidth   = 40
	usualWidth = 100
)

// Page is text for a terminal.
type Page struct {
	width int
	b     strings.Builder
}

// NewPage begins a page in lines of at most width columns, 40 at the least; 0 is a width that is not known.
func NewPage(width int) *Page {
	if width == 0 {
		width = usualWidth
	}
	return &Page{width: max(width, minWidth)}
}

// Width is that of its lines.
func (p *Page) Width() int { return p.width }

// Line writes one as it is, which the caller keeps short.
func (p *Page) Line(text string) { p.b.WriteString(text + "\n") }

// Paragraph writes text, its first line after one indent and the others after another; a word that is longer than a line is broken.
func (p *Page) Paragraph(first, rest, text string) {
	p.b.WriteString(first)
	column, fresh := utf8.RuneCountInString(first), true
	for i, word := range strings.Split(text, " ") {
		size := utf8.RuneCountInString(word)
		if !fresh && column+1+size > p.width {
			p.b.WriteString("\n" + rest)
			column, fresh = utf8.RuneCountInString(rest), true
		}
		if !fresh || i > 0 && word == "" {
			p.b.WriteByte(' ')
			column++
		}
		for column+size > p.width {
			cut := []rune(word)[:max(p.width-column, 1)]
			p.b.WriteString(string(cut) + "\n" + rest)
			word = string([]rune(word)[len(cut):])
			size, column = utf8.RuneCountInString(word), utf8.RuneCountInString(rest)
		}
		p.b.WriteString(word)
		column += size
		fresh = false
	}
	p.b.WriteByte('\n')
}

// WriteTo writes the page.
func (p *Page) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, p.b.String())
	return int64(n), err
}

// Case is a case of a report in JUnit's form.
type Case struct {
	Class, Name string
	Outcome     Outcome
	Observed    string
	Evidence    []Probe
	Took        time.Duration
}

// JUnit writes cases as JUnit XML: broken is a failure, failed an error; what is not applicable, or not observable, is skipped.
func JUnit(w io.Writer, suite string, began time.Time, took time.Duration, cases []Case) error {
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
	out := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Stamp    string     `xml:"timestamp,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: suite, Tests: len(cases), Time: seconds(took), Stamp: began.UTC().Format("2006-01-02T15:04:05")}
	for _, one := range cases {
		c := testcase{Class: one.Class, Name: one.Name, Time: seconds(one.Took)}
		var evidence strings.Builder
		for _, p := range one.Evidence {
			word := Held
			if !p.Held {
				word = Broken
			}
			fmt.Fprintf(&evidence, "%s: %s: %s\n", word, p.Tried, p.Got)
		}
		told := &message{Message: one.Observed, Text: evidence.String()}
		switch one.Outcome {
		case Broken:
			c.Failure = told
			out.Failures++
		case Failed:
			c.Error = told
			out.Errors++
		case NotApplicable, NotObservable:
			c.Skipped = told
			out.Skipped++
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

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

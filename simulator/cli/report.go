package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/charmbracelet/x/term"

	"countersign/simulator/report"
)

type reportCmd struct {
	report.Files
	Log string `arg:"" help:"Log of a run, JSON Lines, or its figures as JSON." type:"existingfile"`
}

// Help is the long text of --help.
func (reportCmd) Help() string {
	return `Prints the summary of a run, and writes it as files. A log that breaks off, as a run leaves it that was killed, gives the
report of what there is. The exit code says whether the reports could be made, not how the run went.`
}

// Run prints and writes the reports.
func (c *reportCmd) Run(e *env) error {
	s, err := readSummary(e, c.Log)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Text(e.out, terminal(e.out)), c.Write(&s)); err != nil {
		return &exitError{report.ExitWrong, err}
	}
	return nil
}

type compareCmd struct {
	Tolerance report.Tolerance `help:"By how much a figure may be worse." default:"10%"`
	HTML      string           `help:"Write the comparison as one HTML file." placeholder:"FILE" type:"path" name:"html"`
	A         string           `arg:"" help:"The earlier run: its log, or its figures as JSON." type:"existingfile"`
	B         string           `arg:"" help:"The later run." type:"existingfile"`
}

// Help is the long text of --help.
func (compareCmd) Help() string {
	return `Shows the figures of both runs, and what got worse, or better, by more than the tolerance. The exit code is 1 when a figure of B
is worse. Durations that differ by less than a millisecond, percentiles with fewer than five values beyond them, and the simulator's own
lag are shown and not judged.`
}

// Run compares.
func (c *compareCmd) Run(e *env) error {
	a, err := readSummary(e, c.A)
	if err != nil {
		return err
	}
	b, err := readSummary(e, c.B)
	if err != nil {
		return err
	}
	compared := report.Compare(&a, &b, c.Tolerance)
	if err := errors.Join(compared.Text(e.out, terminal(e.out)), report.WriteFile(c.HTML, compared.HTML)); err != nil {
		return &exitError{report.ExitWrong, err}
	}
	return compared.Err()
}

// readSummary reads a log or a summary, and tells the person of a log that breaks off.
func readSummary(e *env, path string) (report.Summary, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the person says which
	if err != nil {
		return report.Summary{}, &exitError{report.ExitScenario, err}
	}
	defer f.Close()
	s, err := report.Read(f)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		tell(e.err, "simulator: %s breaks off; this is what there is\n", path)
		return s, nil
	}
	if err != nil {
		return s, &exitError{report.ExitScenario, fmt.Errorf("%s: %w", path, err)}
	}
	return s, nil
}

// terminal is how text for w is laid out: its terminal's width and colours, unless NO_COLOR is set. What is no terminal has
// COLUMNS or 80 columns and no colours.
func terminal(w io.Writer) report.TextOptions {
	o := report.TextOptions{}
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		o.Width = columns
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(f.Fd()) {
		return o
	}
	if columns, _, err := term.GetSize(f.Fd()); err == nil {
		o.Width = columns
	}
	o.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return o
}

package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Files are where reports are written to; "" is nowhere.
type Files struct {
	HTML  string `help:"Write the report as one HTML file." placeholder:"FILE" type:"path" name:"html"`
	JSON  string `help:"Write the report's figures as JSON." placeholder:"FILE" type:"path" name:"json"`
	JUnit string `help:"Write checks and thresholds as JUnit XML." placeholder:"FILE" type:"path" name:"junit"`
}

// Paths are where they are written to, to be changed.
func (f *Files) Paths() []*string { return []*string{&f.HTML, &f.JSON, &f.JUnit} }

// Write writes each report. One that cannot be written does not keep the others from it.
func (f Files) Write(s *Summary) error {
	return errors.Join(WriteFile(f.HTML, s.HTML), WriteFile(f.JSON, s.JSON), WriteFile(f.JUnit, s.JUnit))
}

// WriteFile makes a file of what write writes; "" is none.
func WriteFile(path string, write func(io.Writer) error) (err error) {
	if path == "" {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write report: %w", err)
		}
	}()
	f, err := os.Create(path) //nolint:gosec // G304: the person says where
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	return errors.Join(err, f.Close())
}

// JSON writes the summary as its fields are documented.
func (s *Summary) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(s)
}

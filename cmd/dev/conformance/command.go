package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Command is `dev conformance`.
type Command struct {
	Only    []string `arg:"" optional:"" placeholder:"ID" help:"Requirements to look at, such as T3; all without."`
	List    bool     `help:"Name the tests without running them."`
	NoSpecs bool     `help:"Leave out the specs that need a browser."`
	JSON    string   `name:"json" type:"path" placeholder:"FILE" help:"Write the report there as JSON; - is standard output, instead of the text."`
	JUnit   string   `name:"junit" type:"path" placeholder:"FILE" help:"Write the report there as JUnit XML."`
}

// Run finds the tests, runs them, and reports. It is an error when a requirement does not hold.
func (c *Command) Run(ctx context.Context) error {
	dir, err := module(ctx)
	if err != nil {
		return err
	}
	requirements, err := c.requirements()
	if err != nil {
		return err
	}
	tests, err := Find(dir)
	if err != nil {
		return err
	}
	tests = slices.DeleteFunc(tests, func(t Test) bool {
		return c.NoSpecs && t.Spec || !slices.ContainsFunc(requirements, func(r Requirement) bool { return slices.Contains(t.Proves, r.ID) })
	})
	results := map[key]outcome{}
	if !c.List {
		for _, pkg := range packages(tests) {
			_, _ = fmt.Fprintln(os.Stderr, "running the tests of", pkg)
			if err := run(ctx, dir, pkg, tests, results); err != nil {
				return err
			}
		}
	}
	report := judge(requirements, tests, results)
	if err := c.write(report); err != nil {
		return err
	}
	switch missing := report.missing(); {
	case c.List && len(missing) > 0:
		return fmt.Errorf("no test proves %s", strings.Join(missing, ", "))
	case !c.List && report.Holds < report.Of:
		return fmt.Errorf("%d of %d requirements do not hold", report.Of-report.Holds, report.Of)
	}
	return nil
}

func (c *Command) requirements() ([]Requirement, error) {
	if len(c.Only) == 0 {
		return Requirements, nil
	}
	var out []Requirement
	for _, id := range c.Only {
		i := slices.IndexFunc(Requirements, func(r Requirement) bool { return strings.EqualFold(r.ID, id) })
		if i < 0 {
			return nil, fmt.Errorf("there is no requirement %s: they are T1 to T%d", id, len(Requirements))
		}
		out = append(out, Requirements[i])
	}
	return out, nil
}

// missing are the requirements without a test.
func (r Report) missing() []string {
	var out []string
	for _, v := range r.Verdicts {
		if len(v.Tests) == 0 {
			out = append(out, v.ID)
		}
	}
	return out
}

func (c *Command) write(r Report) error {
	if c.JSON == "-" {
		if err := r.json(os.Stdout); err != nil {
			return err
		}
	} else if err := r.text(os.Stdout, c.List); err != nil {
		return err
	}
	for _, o := range []struct {
		file  string
		write func(io.Writer) error
	}{{c.JSON, r.json}, {c.JUnit, r.junit}} {
		if o.file == "" || o.file == "-" {
			continue
		}
		f, err := os.Create(o.file)
		if err != nil {
			return err
		}
		if err := errors.Join(o.write(f), f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", o.file, err)
		}
	}
	return nil
}

// module is the module's directory.
func module(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || file == "" || file == os.DevNull {
		return "", errors.New("call it inside the module")
	}
	return filepath.Dir(file), nil
}

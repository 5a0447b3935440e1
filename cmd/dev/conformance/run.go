package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Result is how a test ended.
type Result string

// The results.
const (
	Passed  Result = "passed"
	Failed  Result = "failed"
	Skipped Result = "skipped"
	NotRun  Result = "not run" // its package did not build, or it was left out
)

// outcome of a test, by package and name.
type outcome struct {
	Result  Result        `json:"result"`
	Took    time.Duration `json:"-"`
	Seconds float64       `json:"seconds"`
	Output  string        `json:"output,omitempty"` // of one that failed
}

type key struct{ pkg, name string }

// maxOutput is how much of a failed test's words is kept, in bytes.
const maxOutput = 4 << 10

// run runs the tests of one package: functions by go test's own events, specs by ginkgo's report.
func run(ctx context.Context, dir, pkg string, tests []Test, results map[key]outcome) error {
	var functions, specs []string
	for _, t := range tests {
		switch {
		case t.Package != pkg:
		case t.Spec:
			specs = append(specs, regexp.QuoteMeta(t.Name))
		default:
			functions = append(functions, regexp.QuoteMeta(t.Name))
		}
	}
	if len(functions) > 0 {
		if err := runFunctions(ctx, dir, pkg, functions, results); err != nil {
			return err
		}
	}
	if len(specs) > 0 {
		return runSpecs(ctx, dir, pkg, specs, results)
	}
	return nil
}

func runFunctions(ctx context.Context, dir, pkg string, names []string, results map[key]outcome) error {
	out, err := goTest(ctx, dir, "-json", "-count=1", "-run", "^("+strings.Join(names, "|")+")$", pkg)
	if err != nil {
		return err
	}
	said := map[string]*strings.Builder{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Test == "" {
			continue
		}
		name, _, _ := strings.Cut(e.Test, "/")
		if said[name] == nil {
			said[name] = &strings.Builder{}
		}
		o := outcome{Seconds: e.Elapsed}
		switch {
		case e.Action == "output":
			said[name].WriteString(e.Output)
			continue
		case name != e.Test:
			continue
		case e.Action == "pass":
			o.Result = Passed
		case e.Action == "skip":
			o.Result = Skipped
		case e.Action == "fail":
			o.Result, o.Output = Failed, clip(said[name].String())
		default:
			continue
		}
		results[key{pkg, name}] = o
	}
	return lines.Err()
}

func runSpecs(ctx context.Context, dir, pkg string, names []string, results map[key]outcome) error {
	work, err := os.MkdirTemp("", "countersign-conformance-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	file := filepath.Join(work, "report.json")
	if _, err := goTest(ctx, dir, "-count=1", "-timeout=15m", pkg, "-ginkgo.focus=("+strings.Join(names, "|")+")", "-ginkgo.json-report="+file); err != nil {
		return err
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the suite did not build: its specs are not run
	}
	if err != nil {
		return err
	}
	var suites []struct {
		SpecReports []struct {
			LeafNodeText, State string
			RunTime             time.Duration
			Failure             struct{ Message string }
		}
	}
	if err := json.Unmarshal(raw, &suites); err != nil {
		return fmt.Errorf("read ginkgo's report: %w", err)
	}
	for _, s := range suites {
		for _, r := range s.SpecReports {
			o := outcome{Seconds: r.RunTime.Seconds()}
			switch r.State {
			case "passed":
				o.Result = Passed
			case "skipped", "pending":
				o.Result = Skipped
			default:
				o.Result, o.Output = Failed, clip(r.Failure.Message)
			}
			results[key{pkg, r.LeafNodeText}] = o
		}
	}
	return nil
}

// goTest runs go test; that tests fail is no error here.
func goTest(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, io.Discard
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("go test: %w", errors.Join(err, ctx.Err()))
	}
	return out.Bytes(), nil
}

func clip(s string) string {
	if len(s) > maxOutput {
		s = "…" + strings.ToValidUTF8(s[len(s)-maxOutput:], "")
	}
	return s
}

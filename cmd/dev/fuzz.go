package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

type fuzzCmd struct {
	Time  time.Duration `default:"10s" help:"For each target."`
	Match string        `placeholder:"REGEXP" help:"Only targets whose package and name fit."`
	List  bool          `help:"Only name the targets."`
}

// target is one fuzz function.
type target struct{ pkg, name string }

// Run finds the targets and runs one after the other. A finding is kept in testdata/fuzz of its package.
func (f *fuzzCmd) Run(ctx context.Context) error {
	dir, err := root(ctx)
	if err != nil {
		return err
	}
	match, err := regexp.Compile(f.Match)
	if err != nil {
		return fmt.Errorf("--match: %w", err)
	}
	targets, err := fuzzTargets(ctx, dir)
	if err != nil {
		return err
	}
	var failed []string
	ran := 0
	for _, t := range targets {
		if !match.MatchString(t.pkg + "." + t.name) {
			continue
		}
		ran++
		say("• %s %s", t.pkg, t.name)
		if f.List {
			continue
		}
		if err := program(ctx, dir, nil, "go", "test", t.pkg, "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", f.Time.String(), "-fuzzminimizetime", "1s"); err != nil {
			failed = append(failed, t.pkg+"."+t.name)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	switch {
	case ran == 0:
		return errors.New("no such fuzz target")
	case len(failed) > 0:
		return errors.New("findings: " + strings.Join(failed, ", "))
	}
	return nil
}

// fuzzTargets reads the test files of all packages.
func fuzzTargets(ctx context.Context, dir string) ([]target, error) {
	out, err := output(ctx, dir, "go", "list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles", "./...")
	if err != nil {
		return nil, err
	}
	var targets []target
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return targets, nil
		} else if err != nil {
			return nil, err
		}
		for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			for _, d := range parsed.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
					targets = append(targets, target{p.ImportPath, fn.Name.Name})
				}
			}
		}
	}
}

package conformance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Test is one that proves requirements.
type Test struct {
	Package string   `json:"package"` // a path below the module, "./mobile"
	Name    string   `json:"name"`    // of the function, or the text of the spec
	Spec    bool     `json:"spec,omitempty"`
	File    string   `json:"file"` // below the module
	Line    int      `json:"line"`
	Proves  []string `json:"proves"` // ids, of goals too
	Says    string   `json:"says"`   // the first sentence of its comment
}

var (
	listed = regexp.MustCompile(`^((?:T\d+|G\d+|flaw \d+)(?:, (?:T\d+|G\d+|flaw \d+))*): `)
	single = regexp.MustCompile(`[TG]\d+`)
)

// Find reads the test files below dir, in a fixed order.
func Find(dir string) ([]Test, error) {
	var out []Test
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		found, err := inFile(dir, path)
		out = append(out, found...)
		return err
	})
	return out, err
}

func inFile(dir, path string) ([]Test, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read tests: %w", err)
	}
	file, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, err
	}
	above := map[int]*ast.CommentGroup{} // by the line that follows
	for _, c := range parsed.Comments {
		above[files.Position(c.End()).Line+1] = c
	}
	var out []Test
	add := func(name string, spec bool, pos token.Pos) {
		line := files.Position(pos).Line
		if above[line] == nil {
			return
		}
		text := strings.Join(strings.Fields(above[line].Text()), " ")
		ids := listed.FindString(text)
		if ids == "" {
			return
		}
		says, _, _ := strings.Cut(text[len(ids):], ". ")
		out = append(out, Test{
			Package: "./" + filepath.ToSlash(filepath.Dir(file)), Name: name, Spec: spec, File: filepath.ToSlash(file), Line: line,
			Proves: single.FindAllString(ids, -1), Says: strings.TrimSuffix(says, "."),
		})
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && (strings.HasPrefix(n.Name.Name, "Test") || strings.HasPrefix(n.Name.Name, "Fuzz")) {
				add(n.Name.Name, false, n.Pos())
			}
		case *ast.CallExpr:
			called, ok := n.Fun.(*ast.Ident)
			if !ok || called.Name != "It" || len(n.Args) == 0 {
				return true
			}
			if text, ok := n.Args[0].(*ast.BasicLit); ok {
				if name, err := strconv.Unquote(text.Value); err == nil {
					add(name, true, n.Pos())
				}
			}
		}
		return true
	})
	return out, nil
}

// packages are those of tests, in order.
func packages(tests []Test) []string {
	var out []string
	for _, t := range tests {
		if !slices.Contains(out, t.Package) {
			out = append(out, t.Package)
		}
	}
	slices.Sort(out)
	return out
}

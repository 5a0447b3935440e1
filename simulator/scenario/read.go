package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"countersign/simulator/word"
)

const (
	maxFiles = 50
	maxCases = 100
	maxBytes = 1 << 20
)

// Words are those whose meaning is the engine's, so that a wrong one is named before anything runs.
type Words struct {
	Habits []string // of people
	// Param tells an error of a habit that does not take a parameter; nil: none is looked at.
	Param    func(habit, param string) error
	Metrics  []string // of thresholds
	Counters []string // of checks
	Modes    []string // of matching
	Attests  []string // of the maker's word
}

// Read reads the file and what it includes, and returns one scenario for each combination of its matrix; set wins over vars.
// An error is Problems, all of them, or that of reading a file.
func Read(files fs.FS, name string, words Words, set map[string]string) ([]Scenario, error) {
	r := reader{files: files, words: words, vars: map[string]*yaml.Node{}, matrix: map[string][]*yaml.Node{}}
	if err := r.load(path.Clean(name), nil); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if r.vars[name] == nil && r.matrix[name] == nil {
			known := append(slices.Collect(maps.Keys(r.vars)), slices.Collect(maps.Keys(r.matrix))...)
			r.problems = append(r.problems, Problem{Text: word.Unknown("variable", name, known).Error(), File: "--set"})
			continue
		}
		delete(r.matrix, name)
		r.vars[name] = &yaml.Node{Kind: yaml.ScalarNode, Value: set[name]}
	}
	var out []Scenario
	if len(r.problems) == 0 {
		out = r.cases()
	}
	if len(r.problems) > 0 {
		return nil, r.sorted()
	}
	return out, nil
}

// reader reads one scenario.
type reader struct {
	files    fs.FS
	words    Words
	loaded   []document // included ones first
	vars     map[string]*yaml.Node
	matrix   map[string][]*yaml.Node
	problems Problems
}

// document is one file.
type document struct {
	name string
	root *yaml.Node
}

func (r *reader) fail(file string, n *yaml.Node, field, format string, args ...any) {
	r.problems = append(r.problems, Problem{file, n.Line, n.Column, field, fmt.Sprintf(format, args...)})
}

// load reads a file and, before it, what it includes.
func (r *reader) load(name string, from []string) error {
	if len(r.loaded) >= maxFiles {
		return fmt.Errorf("%s: more than %d files", name, maxFiles)
	}
	text, err := fs.ReadFile(r.files, name)
	if err != nil {
		return fmt.Errorf("read scenario: %w", err)
	}
	if len(text) > maxBytes {
		return fmt.Errorf("read scenario: %s: more than %d bytes", name, maxBytes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		line := 0
		_, _ = fmt.Sscanf(err.Error(), "yaml: line %d:", &line)
		r.problems = append(r.problems, Problem{File: name, Line: line, Column: 1, Text: "no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")})
		return nil
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		r.problems = append(r.problems, Problem{File: name, Text: "want fields, as in name: value"})
		return nil
	}
	root := doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		value := root.Content[i+1]
		switch root.Content[i].Value {
		case "include":
			if err := r.include(name, value, from); err != nil {
				return err
			}
		case "vars":
			r.gather(name, value, "vars", func(key string, n *yaml.Node) { r.vars[key] = n })
		case "matrix":
			r.gather(name, value, "matrix", func(key string, n *yaml.Node) {
				if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
					r.fail(name, n, "matrix."+key, "want a list of values")
					return
				}
				r.matrix[key] = n.Content
			})
		}
	}
	r.loaded = append(r.loaded, document{name, root})
	return nil
}

func (r *reader) include(name string, list *yaml.Node, from []string) error {
	if list.Kind != yaml.SequenceNode {
		r.fail(name, list, "include", "want a list of files")
		return nil
	}
	for i, one := range list.Content {
		field := fmt.Sprintf("include[%d]", i)
		file := path.Join(path.Dir(name), one.Value)
		switch {
		case slices.Contains(append(from, name), file):
			r.fail(name, one, field, "%s includes itself", file)
		case !fs.ValidPath(file):
			r.fail(name, one, field, "%q leads out of the scenario's folder", one.Value)
		default:
			err := r.load(file, append(slices.Clone(from), name))
			if errors.Is(err, fs.ErrNotExist) {
				r.fail(name, one, field, "there is no file %s", file)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) gather(file string, table *yaml.Node, field string, take func(string, *yaml.Node)) {
	if table.Kind != yaml.MappingNode {
		r.fail(file, table, field, "want fields, as in name: value")
		return
	}
	for i := 0; i+1 < len(table.Content); i += 2 {
		take(table.Content[i].Value, table.Content[i+1])
	}
}

// cases resolves each combination of the matrix.
func (r *reader) cases() []Scenario {
	combinations := []map[string]*yaml.Node{{}}
	for _, name := range slices.Sorted(maps.Keys(r.matrix)) {
		var more []map[string]*yaml.Node
		for _, one := range combinations {
			for _, value := range r.matrix[name] {
				next := maps.Clone(one)
				next[name] = value
				more = append(more, next)
			}
		}
		if combinations = more; len(combinations) > maxCases {
			r.problems = append(r.problems, Problem{File: r.loaded[len(r.loaded)-1].name, Field: "matrix", Text: fmt.Sprintf("more than %d combinations", maxCases)})
			return nil
		}
	}
	out := make([]Scenario, 0, len(combinations))
	for _, one := range combinations {
		s, problems := r.resolve(one)
		if len(problems) > 0 {
			r.problems = append(r.problems, problems...)
			return nil // the next case has mostly the same ones
		}
		out = append(out, s)
	}
	return out
}

// resolve decodes all files with the values of one case and merges them.
func (r *reader) resolve(matrix map[string]*yaml.Node) (Scenario, Problems) {
	values := maps.Clone(r.vars)
	maps.Copy(values, matrix)
	merged := reflect.New(reflect.TypeFor[Scenario]()).Elem()
	var problems Problems
	places := places{}
	for _, doc := range r.loaded {
		d := decoder{file: doc.name}
		root := d.substitute(doc.root, values, "")
		var one Scenario
		d.value(root, reflect.ValueOf(&one).Elem(), "", "")
		problems = append(problems, d.problems...)
		places.note(doc.name, root, merged)
		merge(merged, reflect.ValueOf(one))
	}
	s := merged.Interface().(Scenario)
	if len(matrix) > 0 {
		s.Case = map[string]string{}
		for name, n := range matrix {
			s.Case[name] = n.Value
		}
	}
	if len(problems) > 0 {
		return s, problems
	}
	s.complete()
	v := validator{s: &s, words: r.words, places: places, file: r.loaded[len(r.loaded)-1].name}
	v.run()
	return s, v.problems
}

// merge puts what is given in from over into: lists are joined, tables too, other words replaced.
func merge(into, from reflect.Value) {
	for i := range into.NumField() {
		a, b := into.Field(i), from.Field(i)
		switch {
		case b.IsZero():
		case a.Kind() == reflect.Slice:
			a.Set(reflect.AppendSlice(a, b))
		case a.Kind() == reflect.Map && !a.IsNil():
			for _, key := range b.MapKeys() {
				a.SetMapIndex(key, b.MapIndex(key))
			}
		case a.Kind() == reflect.Struct:
			merge(a, b)
		default:
			a.Set(b)
		}
	}
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

// substitute copies a tree with the variables put in. What is nothing but a variable takes its value's kind.
func (d *decoder) substitute(n *yaml.Node, values map[string]*yaml.Node, field string) *yaml.Node {
	out := *n
	if n.Kind == yaml.AliasNode { // one may hold itself, and a few of them any number of nodes
		d.fail(n, field, "an alias (*%s) is not taken; use vars", n.Value)
		return &yaml.Node{Kind: yaml.ScalarNode, Line: n.Line, Column: n.Column}
	}
	if n.Kind == yaml.ScalarNode {
		if m := variable.FindStringSubmatch(n.Value); m != nil && m[0] == n.Value {
			if v := d.look(n, m[1], values, field); v != nil {
				whole := *v
				whole.Line, whole.Column = n.Line, n.Column
				return &whole
			}
			return &out
		}
		out.Value = variable.ReplaceAllStringFunc(n.Value, func(text string) string {
			if v := d.look(n, text[2:len(text)-1], values, field); v != nil {
				return v.Value
			}
			return text
		})
		return &out
	}
	out.Content = make([]*yaml.Node, len(n.Content))
	for i, one := range n.Content {
		path := field
		switch {
		case n.Kind == yaml.MappingNode && i%2 == 1:
			path = join(field, n.Content[i-1].Value)
		case n.Kind == yaml.SequenceNode:
			path = fmt.Sprintf("%s[%d]", field, i)
		}
		out.Content[i] = d.substitute(one, values, path)
	}
	return &out
}

func (d *decoder) look(n *yaml.Node, name string, values map[string]*yaml.Node, field string) *yaml.Node {
	if v := values[name]; v != nil {
		return v
	}
	d.fail(n, field, "%v", word.Unknown("variable", name, slices.Collect(maps.Keys(values))))
	return nil
}

func (r *reader) sorted() Problems {
	order := map[string]int{}
	for i, doc := range r.loaded {
		order[doc.name] = i
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(order[a.File]-order[b.File], a.Line-b.Line, a.Column-b.Column)
	})
	return r.problems
}

package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Override is a setting from the command line; it wins over all else.
type Override struct {
	Path   string // "database.url"
	Value  string // as in the environment
	Source string // what to say of it, "--database-url"
}

// Options say where to load from.
type Options struct {
	File      string     // YAML file; empty is none; one that is named must exist
	Environ   []string   // as os.Environ gives it
	Prefix    string     // of the variables; "" is "COUNTERSIGN_"
	Ignore    []string   // variables with the prefix that are not settings; one that ends in * stands for all so begun
	Overrides []Override // from flags
}

const (
	defaultPrefix = "COUNTERSIGN_"
	maxFile       = 1 << 20 // bytes of a configuration or secret file
)

// Loaded is a finished load: the settings and where each comes from.
type Loaded struct {
	root   *section
	fields []*field
}

// Load fills the struct that into points to, which holds the defaults. On an error, which joins all that is wrong, the
// struct is half filled and not to be used.
func Load(into any, o Options) (*Loaded, error) {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	root, fields, err := describe(into, o.Prefix)
	if err != nil {
		return nil, err
	}
	l := &Loaded{root: root, fields: fields}
	err = errors.Join(l.file(o.File), l.environ(o), l.overrides(o.Overrides))
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Source says where the setting at path comes from: "default", "/etc/countersign.yml:12", "COUNTERSIGN_LISTEN",
// "--listen"; empty for an unknown path.
func (l *Loaded) Source(path string) string {
	for _, f := range l.fields {
		if f.path == path {
			return f.source
		}
	}
	return ""
}

func (l *Loaded) environ(o Options) error {
	byName := make(map[string]*field, 2*len(l.fields))
	var known []string
	for _, f := range l.fields {
		byName[f.env] = f
		known = append(known, f.env)
		if f.secret != "" {
			byName[f.env+"_FILE"] = f
			known = append(known, f.env+"_FILE")
		}
	}
	var errs []error
	from := map[*field]string{}
	for _, pair := range o.Environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, o.Prefix) || ignored(name, o.Ignore) {
			continue
		}
		f := byName[name]
		switch {
		case f == nil:
			errs = append(errs, unknown("variable", name, "", known))
			continue
		case from[f] != "":
			errs = append(errs, fmt.Errorf("%s and %s are both given", from[f], name))
			continue
		}
		from[f] = name
		errs = append(errs, f.assign(value, name, name != f.env))
	}
	return errors.Join(errs...)
}

func ignored(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		begin, open := strings.CutSuffix(p, "*")
		return name == p || open && strings.HasPrefix(name, begin)
	})
}

func (l *Loaded) overrides(list []Override) error {
	var errs []error
	for _, o := range list {
		i := slices.IndexFunc(l.fields, func(f *field) bool { return f.path == o.Path })
		if i < 0 {
			errs = append(errs, unknown("setting", o.Path, o.Source, l.paths()))
			continue
		}
		errs = append(errs, l.fields[i].assign(o.Value, o.Source, false))
	}
	return errors.Join(errs...)
}

func (l *Loaded) paths() []string {
	out := make([]string, len(l.fields))
	for i, f := range l.fields {
		out[i] = f.path
	}
	return out
}

// assign gives the field a value, or the content of the file that the value names.
func (f *field) assign(value, source string, isFile bool) error {
	if isFile {
		text, err := readFile(value)
		if err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
		value = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if value == "" {
			return fmt.Errorf("%s: the file is empty", source)
		}
		source += " (file)"
	}
	if err := set(f.value, value); err != nil {
		return fmt.Errorf("%s: %s: %w", source, f.path, err)
	}
	f.source = source
	return nil
}

func unknown(what, name, source string, known []string) error {
	text := fmt.Sprintf("unknown %s %.100q", what, name)
	if source != "" {
		text = source + ": " + text
	}
	if near := nearest(name, known); near != "" {
		text += ", did you mean " + near + "?"
	}
	return errors.New(text)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return text, nil
}

func (l *Loaded) file(path string) error {
	if path == "" {
		return nil
	}
	text, err := readFile(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	return l.yaml(path, text)
}

// yaml reads a configuration text; name is what errors and sources call it.
func (l *Loaded) yaml(name string, text []byte) error {
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one YAML document", name)
	}
	return l.yamlSection(name, l.root, doc.Content[0])
}

func (l *Loaded) yamlSection(name string, s *section, n *yaml.Node) error {
	at := func(n *yaml.Node) string { return fmt.Sprintf("%s:%d", name, n.Line) }
	if isNull(n) { // a section whose keys are all commented out
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("%s: %s: want settings, key: value", at(n), orTop(s.path))
	}
	var errs []error
	seen := map[string]bool{}
	from := map[*field]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			errs = append(errs, fmt.Errorf("%s: a key must be plain text", at(k)))
			continue
		}
		key := k.Value
		if seen[key] {
			errs = append(errs, fmt.Errorf("%s: key %q is given twice", at(k), key))
			continue
		}
		seen[key] = true
		if sub := s.sections[key]; sub != nil {
			errs = append(errs, l.yamlSection(name, sub, v))
			continue
		}
		f, isFile := s.fields[key], false
		if base, ok := strings.CutSuffix(key, "_file"); f == nil && ok && s.fields[base] != nil && s.fields[base].secret != "" {
			f, isFile = s.fields[base], true
		}
		switch {
		case f == nil:
			errs = append(errs, unknown("key", key, at(k), s.keys()))
		case from[f]:
			errs = append(errs, fmt.Errorf("%s: %s is given both as itself and as a file", at(k), f.path))
		default:
			from[f] = true
			errs = append(errs, f.yaml(v, at(v), isFile))
		}
	}
	return errors.Join(errs...)
}

// keys are the section's keys in YAML, those of secret files included.
func (s *section) keys() []string {
	out := slices.Clone(s.names)
	for _, name := range s.names {
		if f := s.fields[name]; f != nil && f.secret != "" {
			out = append(out, name+"_file")
		}
	}
	return out
}

// yaml gives the field a YAML value. Anchors are not followed: a setting is said once, where it is.
func (f *field) yaml(n *yaml.Node, at string, isFile bool) error {
	switch {
	case isNull(n):
		return fmt.Errorf("%s: %s has no value", at, f.path)
	case n.Kind == yaml.ScalarNode:
		return f.assign(n.Value, at, isFile)
	case isFile:
		return fmt.Errorf("%s: want the path of a file for %s", at, f.path)
	}
	var err error
	switch kind := f.value.Type(); {
	case n.Kind == yaml.SequenceNode && !scalar(kind) && kind.Kind() == reflect.Slice:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode || isNull(item) {
				return fmt.Errorf("%s: %s: item %d: want a plain value", at, f.path, i+1)
			}
			items[i] = item.Value
		}
		err = setList(f.value, items)
	case n.Kind == yaml.MappingNode && !scalar(kind) && kind.Kind() == reflect.Map:
		pairs := map[string]string{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			_, twice := pairs[k.Value]
			if k.Kind != yaml.ScalarNode || v.Kind != yaml.ScalarNode || isNull(v) || twice {
				return fmt.Errorf("%s: %s: want different names with plain values", at, f.path)
			}
			pairs[k.Value] = v.Value
		}
		err = setMap(f.value, pairs)
	default:
		return fmt.Errorf("%s: %s: want a %s", at, f.path, kindName(kind))
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", at, f.path, err)
	}
	f.source = at
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func orTop(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

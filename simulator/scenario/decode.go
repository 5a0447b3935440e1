package scenario

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"countersign/simulator/word"
)

// Problem is one mistake in a file.
type Problem struct {
	File   string
	Line   int // from 1; 0: of the whole file
	Column int
	Field  string // "phones[0].kind"
	Text   string
}

func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Field != "" {
		b.WriteString(": " + p.Field)
	}
	return b.String() + ": " + p.Text
}

// Problems are all mistakes of a scenario, in the order of the files and lines.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// decoder fills structs from YAML and notes what does not fit.
type decoder struct {
	file     string
	problems Problems
}

func (d *decoder) fail(n *yaml.Node, field, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, n.Line, n.Column, field, fmt.Sprintf(format, args...)})
}

var durationType = reflect.TypeFor[time.Duration]()

// value decodes one node into v, whose tag may narrow what is allowed.
func (d *decoder) value(n *yaml.Node, v reflect.Value, tag reflect.StructTag, field string) {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok && n.Kind == yaml.ScalarNode {
		if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			d.fail(n, field, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, field)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.fail(n, field, "want a list")
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, one := range n.Content {
			d.value(one, list.Index(i), tag, fmt.Sprintf("%s[%d]", field, i))
		}
		v.Set(list)
	case reflect.Map:
		d.table(n, v, tag, field)
	case reflect.Interface:
		var any any
		if err := n.Decode(&any); err != nil {
			d.fail(n, field, "%v", err)
			return
		}
		v.Set(reflect.ValueOf(&any).Elem())
	default:
		d.scalar(n, v, tag, field)
	}
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, field, "want fields, as in name: value")
		return
	}
	names, byName := fields(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		path := join(field, key.Value)
		index, known := byName[key.Value]
		switch {
		case !known:
			d.fail(key, path, "%v", word.Unknown("field", key.Value, names))
			continue
		case seen[key.Value]:
			d.fail(key, path, "is given twice")
			continue
		}
		seen[key.Value] = true
		d.value(value, v.Field(index), v.Type().Field(index).Tag, path)
	}
	for _, name := range names {
		if f := v.Type().Field(byName[name]); f.Tag.Get("required") != "" && !seen[name] && field != "" {
			d.fail(n, join(field, name), "is needed: %s", f.Tag.Get("about"))
		}
	}
}

func (d *decoder) table(n *yaml.Node, v reflect.Value, tag reflect.StructTag, field string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, field, "want fields, as in name: value")
		return
	}
	table := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, one := n.Content[i], reflect.New(v.Type().Elem()).Elem()
		name := reflect.ValueOf(key.Value)
		if table.MapIndex(name).IsValid() {
			d.fail(key, join(field, key.Value), "is given twice")
			continue
		}
		d.value(n.Content[i+1], one, tag, join(field, key.Value))
		table.SetMapIndex(name, one)
	}
	v.Set(table)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, tag reflect.StructTag, field string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, field, "want %s", wanted(v.Type()))
		return
	}
	text := n.Value
	var err error
	var at float64
	switch {
	case v.Type() == durationType:
		var t time.Duration
		if t, err = time.ParseDuration(text); err == nil {
			v.SetInt(int64(t))
			err = within(float64(t), text, tag, durationBound)
		}
	case v.Kind() == reflect.String:
		v.SetString(text)
		if enum := tag.Get("enum"); enum != "" {
			if words := strings.Split(enum, "|"); !slices.Contains(words, text) {
				d.fail(n, field, "%v", word.Unknown("word", text, words))
			}
		}
		return
	case v.Kind() == reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(text); err == nil {
			v.SetBool(b)
		}
	case v.Kind() == reflect.Float64:
		if at, err = strconv.ParseFloat(text, 64); err == nil {
			v.SetFloat(at)
			err = within(at, text, tag, numberBound)
		}
	case v.CanUint():
		var u uint64
		if u, err = strconv.ParseUint(text, 10, 64); err == nil {
			v.SetUint(u)
		}
	default:
		var i int64
		if i, err = strconv.ParseInt(text, 10, 64); err == nil {
			v.SetInt(i)
			err = within(float64(i), text, tag, numberBound)
		}
	}
	var outside boundError
	switch {
	case errors.As(err, &outside):
		d.fail(n, field, "%v", err)
	case err != nil:
		d.fail(n, field, "want %s, not %q", wanted(v.Type()), text)
	}
}

// boundError is a number outside its bounds.
type boundError struct{ text string }

func (e boundError) Error() string { return e.text }

func numberBound(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

func durationBound(text string) (float64, error) {
	d, err := time.ParseDuration(text)
	return float64(d), err
}

// within holds a number against the bounds of its tag. A bound that cannot be read is a mistake of ours.
func within(at float64, text string, tag reflect.StructTag, read func(string) (float64, error)) error {
	for _, bound := range []struct {
		name, words string
		outside     func(at, bound float64) bool
	}{
		{"min", "at least", func(at, bound float64) bool { return at < bound }},
		{"max", "at most", func(at, bound float64) bool { return at > bound }},
	} {
		limit := tag.Get(bound.name)
		if limit == "" {
			continue
		}
		v, err := read(limit)
		if err != nil {
			panic("scenario: bound " + limit + " of a tag: " + err.Error())
		}
		if bound.outside(at, v) {
			return boundError{fmt.Sprintf("want %s %s, not %s", bound.words, limit, text)}
		}
	}
	return nil
}

func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a time such as 1.5s"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.String:
		return "a text"
	}
	return "a whole number"
}

// fields are the words of a struct, in its order, and where they are.
func fields(t reflect.Type) ([]string, map[string]int) {
	var names []string
	byName := map[string]int{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			names, byName[name] = append(names, name), i
		}
	}
	return names, byName
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

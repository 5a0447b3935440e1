package scenario

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// Reference is the page of all words, as Markdown: a table for each struct, in the order in which they appear.
func Reference(words Words) []byte {
	var b bytes.Buffer
	b.WriteString("# The words of a scenario\n\n" +
		"Made from the reader's own description; see [scenarios](simulator.md) for how they go together. A time is written as `1m30s`.\n" +
		"Anywhere a value stands, `${name}` takes a variable's.\n")
	section(&b, "A scenario", reflect.TypeFor[Scenario](), words)
	for _, list := range []struct {
		title string
		words []string
	}{
		{"Habits: what people do", words.Habits}, {"Counters of checks", words.Counters}, {"Metrics of thresholds", words.Metrics},
		{"Modes", words.Modes}, {"What a maker attests", words.Attests},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n`%s`\n", list.title, strings.Join(list.words, "` `"))
	}
	fmt.Fprintf(&b, "\nAggregations of thresholds: `%s`, as k6 has them; `p(95)` is a percentile.\n", strings.Join(Aggregations, "` `"))
	return b.Bytes()
}

// section is the table of a struct, and after it those of the structs in it.
func section(b *bytes.Buffer, title string, t reflect.Type, words Words) {
	fmt.Fprintf(b, "\n## %s\n\n| Word | What it takes | |\n|---|---|---|\n", title)
	names, byName := fields(t)
	type inner struct {
		title string
		t     reflect.Type
	}
	var later []inner
	for _, name := range names {
		f := t.Field(byName[name])
		takes, of := kindOf(f.Type, f.Tag)
		if of != nil {
			later = append(later, inner{strings.TrimSpace(title + ": `" + name + "`"), of})
		}
		about := f.Tag.Get("about")
		if f.Tag.Get("required") != "" {
			about = "**Needed.** " + about
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, takes, strings.ReplaceAll(about, "|", "\\|"))
	}
	for _, one := range later {
		section(b, strings.TrimPrefix(one.title, "A scenario: "), one.t, words)
	}
}

// kindOf says what a field takes, and gives the struct in it.
func kindOf(t reflect.Type, tag reflect.StructTag) (string, reflect.Type) {
	bounds := ""
	switch low, high := tag.Get("min"), tag.Get("max"); {
	case low != "" && high != "":
		bounds = ", " + low + " to " + high
	case low != "":
		bounds = ", " + low + " or more"
	}
	switch {
	case reflect.PointerTo(t).Implements(textType):
		return "text", nil
	case t == durationType:
		return "time" + bounds, nil
	case t.Kind() == reflect.Struct:
		return "words", t
	case t.Kind() == reflect.Slice:
		of, inner := kindOf(t.Elem(), tag)
		return "list of " + of, inner
	case t.Kind() == reflect.Map:
		return "table", nil
	case t.Kind() == reflect.Interface:
		return "value", nil
	case t.Kind() == reflect.Bool:
		return "`true`, `false`", nil
	case t.Kind() == reflect.Float64:
		return "number" + bounds, nil
	case t.Kind() != reflect.String:
		return "whole number" + bounds, nil
	}
	if enum := tag.Get("enum"); enum != "" {
		return "`" + strings.ReplaceAll(enum, "|", "` `") + "`", nil
	}
	return "text", nil
}

package config

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const hidden = "********"

// Print writes the effective settings as YAML, secrets hidden, each with where it comes from as a comment.
func (l *Loaded) Print(w io.Writer) error {
	return l.write(w, func(f *field) (above []string, beside string) { return nil, f.source })
}

// Reference writes the YAML file of all settings with their defaults, taken from the struct that defaults points to, each
// with its help, kind and environment variable. Load reads it and changes nothing.
func Reference(w io.Writer, defaults any, prefix string) error {
	if prefix == "" {
		prefix = defaultPrefix
	}
	root, fields, err := describe(defaults, prefix)
	if err != nil {
		return err
	}
	return (&Loaded{root: root, fields: fields}).write(w, func(f *field) (above []string, beside string) {
		if f.help != "" {
			above = append(above, f.help)
		}
		env := f.env
		if f.secret != "" {
			env += " or " + f.env + "_FILE"
		}
		return append(above, kindName(f.value.Type())+"; "+env), ""
	})
}

// write writes all settings; comment gives the comments above and beside each.
func (l *Loaded) write(w io.Writer, comment func(*field) (above []string, beside string)) error {
	out := bufio.NewWriter(w)
	writeSection(out, l.root, "", comment)
	return out.Flush()
}

func writeSection(w *bufio.Writer, s *section, indent string, comment func(*field) ([]string, string)) {
	for i, name := range s.names {
		if sub := s.sections[name]; sub != nil {
			if i > 0 {
				w.WriteString("\n")
			}
			if sub.help != "" {
				fmt.Fprintf(w, "%s# %s\n", indent, sub.help)
			}
			fmt.Fprintf(w, "%s%s:\n", indent, name)
			writeSection(w, sub, indent+"  ", comment)
			continue
		}
		f := s.fields[name]
		above, beside := comment(f)
		for _, line := range above {
			fmt.Fprintf(w, "%s# %s\n", indent, strings.ReplaceAll(line, "\n", "\n"+indent+"# "))
		}
		fmt.Fprintf(w, "%s%s: %s", indent, name, f.text())
		if beside != "" {
			fmt.Fprintf(w, "  # %s", strings.ReplaceAll(beside, "\n", " "))
		}
		w.WriteString("\n")
	}
}

// text is the value on one line of YAML, hidden as far as it is secret.
func (f *field) text() string {
	empty := f.value.IsZero() || !scalar(f.value.Type()) && f.value.Len() == 0
	switch {
	case f.secret == "" || empty: // shown below
	case f.secret == "url" && f.value.Kind() == reflect.String:
		return flow(hidePassword(f.value.String()))
	default:
		return flow(hidden)
	}
	switch {
	case scalar(f.value.Type()):
		return flow(plain(f.value))
	case f.value.Kind() == reflect.Slice:
		items := make([]string, f.value.Len())
		for i := range items {
			items[i] = flow(plain(f.value.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	var pairs []string
	for iter := f.value.MapRange(); iter.Next(); {
		pairs = append(pairs, flow(iter.Key().String())+": "+flow(iter.Value().String()))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ", ") + "}"
}

// plain keeps numbers and booleans unquoted; all else is text.
func plain(v reflect.Value) any {
	if v.Type() != durationType && !reflect.PointerTo(v.Type()).Implements(textType) && v.Kind() != reflect.String {
		return v.Interface()
	}
	return format(v)
}

// flow is a scalar in YAML that fits inside [ ] and { } and on one line.
func flow(v any) string {
	style := yaml.Style(0)
	if s, ok := v.(string); ok && (strings.ContainsAny(s, "[]{},#\n\r") || s == "") {
		style = yaml.DoubleQuotedStyle
	}
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return `""` // only scalars come here, and all of them encode
	}
	n.Style |= style
	if style != 0 {
		n.Style = style
	}
	out, err := yaml.Marshal(&n)
	if err != nil {
		return `""`
	}
	return strings.TrimSpace(string(out))
}

// hidePassword hides a URL's password, and all of what is no URL.
func hidePassword(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" && u.User == nil && u.RawQuery == "" {
		return hidden
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "pass") || strings.Contains(strings.ToLower(name), "key") {
			q.Set(name, hidden)
		}
	}
	u.RawQuery = q.Encode()
	if _, set := u.User.Password(); set {
		u.User = url.UserPassword(u.User.Username(), "hidden-password")
	}
	return strings.ReplaceAll(u.String(), "hidden-password", hidden)
}

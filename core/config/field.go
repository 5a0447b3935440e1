package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// field is one setting: a leaf of the struct.
type field struct {
	path   string // "database.wait"
	env    string // "COUNTERSIGN_DATABASE_WAIT"
	help   string
	secret string // "", "true": hidden whole, "url": only a URL's password is hidden
	value  reflect.Value
	source string // where the value comes from; "default" at first
}

// section is one nested struct, or the whole.
type section struct {
	path     string
	help     string
	names    []string // keys in the order of the struct
	fields   map[string]*field
	sections map[string]*section
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// describe reads the struct that into points to. Its errors are the programmer's.
func describe(into any, prefix string) (*section, []*field, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, nil, fmt.Errorf("config: %T is not a pointer to a struct", into)
	}
	var all []*field
	root, err := describeStruct(v.Elem(), "", prefix, &all)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]string{}
	for _, f := range all {
		names := []string{f.env}
		if f.secret != "" {
			names = append(names, f.env+"_FILE")
		}
		for _, name := range names {
			if other, ok := seen[name]; ok {
				return nil, nil, fmt.Errorf("config: %s and %s have the same variable %s", other, f.path, name)
			}
			seen[name] = f.path
		}
	}
	return root, all, nil
}

func describeStruct(v reflect.Value, path, prefix string, all *[]*field) (*section, error) {
	s := &section{path: path, fields: map[string]*field{}, sections: map[string]*section{}}
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name := sf.Tag.Get("yaml")
		if name == "" || !sf.IsExported() {
			return nil, fmt.Errorf("config: field %s of %s has no yaml tag, or is not exported", sf.Name, v.Type())
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return nil, fmt.Errorf("config: key %q of %s is not of a–z, 0–9 and _", name, v.Type())
		}
		full := name
		if path != "" {
			full = path + "." + name
		}
		if s.fields[name] != nil || s.sections[name] != nil {
			return nil, fmt.Errorf("config: %s is declared twice", full)
		}
		s.names = append(s.names, name)
		if sf.Type.Kind() == reflect.Struct && !reflect.PointerTo(sf.Type).Implements(textType) {
			sub, err := describeStruct(v.Field(i), full, prefix, all)
			if err != nil {
				return nil, err
			}
			sub.help = sf.Tag.Get("help")
			s.sections[name] = sub
			continue
		}
		if err := supported(sf.Type); err != nil {
			return nil, fmt.Errorf("config: %s: %w", full, err)
		}
		f := &field{
			path: full, env: prefix + strings.ToUpper(strings.ReplaceAll(full, ".", "_")), help: sf.Tag.Get("help"),
			secret: sf.Tag.Get("secret"), value: v.Field(i), source: "default",
		}
		s.fields[name] = f
		*all = append(*all, f)
	}
	return s, nil
}

func supported(t reflect.Type) error {
	if scalar(t) {
		return nil
	}
	switch {
	case t.Kind() == reflect.Slice && scalar(t.Elem()):
		return nil
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && t.Elem().Kind() == reflect.String:
		return nil
	}
	return fmt.Errorf("a setting cannot be a %s", t)
}

func scalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textType) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

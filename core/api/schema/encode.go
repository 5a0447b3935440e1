package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// TimeLayout is how times are written, in UTC.
const TimeLayout = "2006-01-02T15:04:05.999999Z"

// Append writes v, a struct of the object's type or a pointer to one, as JSON. Fields that are write-only or only stored
// are left out, nil lists and maps are written as empty unless they are nullable. v should be addressable.
func (o *Object) Append(b []byte, v reflect.Value) ([]byte, error) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	b = append(b, '{')
	first := true
	for _, f := range o.Fields {
		if f.Name == "" || f.WriteOnly {
			continue
		}
		fv := v.FieldByIndex(f.Index)
		if f.Omit && isEmpty(fv) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(b, f.Name)
		b = append(b, ':')
		var err error
		if b, err = f.append(b, fv); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return append(b, '}'), nil
}

// isEmpty is what omitempty leaves out.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

func (f *Field) append(b []byte, v reflect.Value) ([]byte, error) {
	if f.Pointer {
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		v = v.Elem()
	}
	switch f.Kind {
	case String:
		return appendString(b, v.String()), nil
	case Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case Int:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case UUID:
		u := v.Interface().(uuid.UUID)
		text, _ := u.MarshalText()
		return append(append(append(b, '"'), text...), '"'), nil
	case Time:
		b = v.Interface().(time.Time).UTC().AppendFormat(append(b, '"'), TimeLayout)
		return append(b, '"'), nil
	case Text:
		return appendText(b, v)
	case Struct:
		return f.Object.Append(b, v)
	case List:
		return f.appendList(b, v)
	case Map:
		return f.appendMap(b, v)
	case JSON:
		if f.Type == rawType && v.Len() == 0 {
			return append(b, "null"...), nil
		}
	}
	raw, err := json.Marshal(v.Interface())
	return append(b, raw...), err
}

func (f *Field) appendList(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() && f.Nullable {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = f.Elem.append(b, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (f *Field) appendMap(b []byte, v reflect.Value) (_ []byte, err error) {
	if v.IsNil() && f.Nullable {
		return append(b, "null"...), nil
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k.String()), ':')
		if b, err = f.Elem.append(b, v.MapIndex(k)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendText(b []byte, v reflect.Value) ([]byte, error) {
	m, ok := v.Interface().(encoding.TextMarshaler)
	if !ok && v.CanAddr() {
		m, ok = v.Addr().Interface().(encoding.TextMarshaler)
	}
	if !ok {
		raw, err := json.Marshal(v.Interface())
		return append(b, raw...), err
	}
	text, err := m.MarshalText()
	return appendString(b, string(text)), err
}

// appendString quotes s; text that needs no escape, which is nearly all, is copied.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == '<' || c == '>' || c == '&' {
			raw, _ := json.Marshal(s)
			return append(b, raw...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Append writes any value as JSON: structs, and lists and maps of them, by their declaration.
func (s *Set) Append(b []byte, value any) ([]byte, error) {
	v := reflect.ValueOf(value)
	if !v.IsValid() {
		return append(b, "null"...), nil
	}
	f, err := s.value(v.Type())
	if err != nil { // a type without a place here, such as a channel, is for json to refuse
		raw, err := json.Marshal(value)
		return append(b, raw...), err
	}
	if v.Kind() != reflect.Pointer && !v.CanAddr() {
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		v = p.Elem()
	}
	return f.append(b, v)
}

// value compiles a type that is no field of anything, once.
func (s *Set) value(t reflect.Type) (*Field, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.values[t]; f != nil {
		return f, nil
	}
	f := &Field{}
	if err := s.typed(f, t); err != nil {
		return nil, err
	}
	s.values[t] = f
	return f, nil
}

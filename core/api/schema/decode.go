package schema

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"countersign/core/fault"
)

// Mode says how absent keys are read.
type Mode int

// The modes. In all of them an absent key leaves the value as it is; that is, for Create the default, else what is stored.
const (
	Create  Mode = iota // POST: required keys must be there
	Replace             // PUT: as Create; fields marked reset become their default, which is the caller's to set before
	Patch               // PATCH: no key is required
)

// Decode copies the keys of a body into v, which is a settable struct of the object's type, and returns all that is
// wrong, by field. Keys that are unknown, read-only or only stored are passed over. v is changed also when there are
// violations, so give it a copy.
func (o *Object) Decode(sent map[string]json.RawMessage, v reflect.Value, m Mode) fault.Fields {
	errs := fault.Fields{}
	o.decode(sent, v, m, "", errs)
	return errs
}

func (o *Object) decode(sent map[string]json.RawMessage, v reflect.Value, m Mode, at string, errs fault.Fields) {
	for _, f := range o.Fields {
		if f.Name == "" || f.ReadOnly {
			continue
		}
		raw, ok := sent[f.Name]
		switch {
		case ok:
			f.decode(raw, v.FieldByIndex(f.Index), m, at+f.Name, errs)
		case f.Required && m != Patch:
			errs.Add(at+f.Name, "required", "This field is required.")
		}
	}
}

// Defaults sets the fields that have default=… to it.
func (o *Object) Defaults(v reflect.Value) {
	for _, f := range o.Fields {
		if !f.HasDefault {
			continue
		}
		raw := []byte(f.Default)
		if !json.Valid(raw) || f.Kind == String {
			raw, _ = json.Marshal(f.Default)
		}
		f.decode(raw, v.FieldByIndex(f.Index), Create, f.Name, fault.Fields{})
	}
}

// decode reads one value into dst and adds what is wrong with it.
func (f *Field) decode(raw []byte, dst reflect.Value, m Mode, at string, errs fault.Fields) {
	raw = bytes.TrimSpace(raw)
	if f.isNull(raw) {
		if !f.Nullable {
			errs.Add(at, "null", "This field may not be null.")
			return
		}
		dst.SetZero()
		return
	}
	target := dst
	if f.Pointer {
		target = reflect.New(f.Type).Elem() // never through the old pointer: the stored row shares it
		if f.Kind == Struct && !dst.IsNil() {
			target.Set(dst.Elem())
		}
	}
	if code, text := f.value(raw, target, m, at, errs); text != "" {
		errs.Add(at, code, text)
	}
	if f.Pointer {
		dst.Set(target.Addr())
	}
}

// isNull also takes "" for null where Django does: in references that may be null.
func (f *Field) isNull(raw []byte) bool {
	return string(raw) == "null" || f.Ref != "" && f.Kind != List && string(raw) == `""`
}

// value reads raw, which is valid JSON and not null, into dst. One violation is returned as code and text; violations of
// what is inside go to errs.
func (f *Field) value(raw []byte, dst reflect.Value, m Mode, at string, errs fault.Fields) (code, text string) {
	switch f.Kind {
	case String, Text:
		return f.text(raw, dst, at, errs)
	case Bool:
		return f.bool(raw, dst)
	case Int:
		return f.int(raw, dst)
	case Float:
		n, err := strconv.ParseFloat(unquote(raw), 64)
		if err != nil {
			return "invalid", "A valid number is required."
		}
		dst.SetFloat(n)
	case UUID:
		return f.uuid(raw, dst)
	case Time:
		t, ok := parseTime(strings.TrimSpace(unquote(raw)))
		if !ok || raw[0] != '"' {
			return "invalid", "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
		}
		dst.Set(reflect.ValueOf(t))
	case JSON:
		return f.json(raw, dst)
	case Map:
		return f.mapping(raw, dst, m, at, errs)
	case List:
		return f.list(raw, dst, m, at, errs)
	case Struct:
		var inner map[string]json.RawMessage
		if raw[0] != '{' || json.Unmarshal(raw, &inner) != nil {
			errs.Add(at+"."+fault.NonField, "invalid", "Invalid data. Expected a dictionary, but got "+typeName(raw)+".")
			return "", ""
		}
		f.Object.decode(inner, dst, m, at+".", errs)
	}
	return "", ""
}

func (f *Field) text(raw []byte, dst reflect.Value, at string, errs fault.Fields) (code, text string) {
	switch raw[0] {
	case 't', 'f', '{', '[':
		return "invalid", "Not a valid string."
	}
	s := unquote(raw)
	if !f.Raw {
		s = strings.TrimSpace(s)
	}
	switch {
	case len(f.Enum) > 0 && !(s == "" && f.Blank):
		if !slices.Contains(f.Enum, s) {
			return "invalid_choice", `"` + excerpt(s) + `" is not a valid choice.`
		}
	case s == "" && !f.Blank:
		return "blank", "This field may not be blank."
	case strings.ContainsRune(s, 0):
		return "null_characters_not_allowed", "Null characters are not allowed."
	case s != "":
		f.checkText(s, at, errs)
	}
	if f.Kind == String {
		dst.SetString(s)
		return "", ""
	}
	if err := dst.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		var known *fault.Error
		if errors.As(err, &known) && known.Detail != "" {
			return "invalid", known.Detail
		}
		return "invalid", "Not a valid value."
	}
	return "", ""
}

// checkText adds every violation of length, format and pattern.
func (f *Field) checkText(s, at string, errs fault.Fields) {
	n := int64(utf8.RuneCountInString(s))
	if f.Max != nil && n > *f.Max {
		errs.Add(at, "max_length", fmt.Sprintf("Ensure this field has no more than %d characters.", *f.Max))
	}
	if f.Min != nil && n < *f.Min {
		errs.Add(at, "min_length", fmt.Sprintf("Ensure this field has at least %d characters.", *f.Min))
	}
	if c, ok := formats[f.Format]; ok && !c.ok(s) {
		errs.Add(at, "invalid", c.text)
	}
	if f.Pattern != nil && !f.Pattern.MatchString(s) {
		errs.Add(at, "invalid", "This value does not match the required pattern.")
	}
}

func (f *Field) bool(raw []byte, dst reflect.Value) (code, text string) {
	switch string(raw) {
	case "1", "1.0":
		dst.SetBool(true)
		return "", ""
	case "0", "0.0":
		dst.SetBool(false)
		return "", ""
	}
	b, ok := ParseBool(unquote(raw))
	if !ok || raw[0] == '{' || raw[0] == '[' {
		return "invalid", "Must be a valid boolean."
	}
	dst.SetBool(b)
	return "", ""
}

// ParseBool reads a boolean in any of the spellings that Django REST framework takes.
func ParseBool(s string) (value, ok bool) {
	switch s {
	case "t", "T", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "1":
		return true, true
	case "f", "F", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", "0":
		return false, true
	}
	return false, false
}

func (f *Field) int(raw []byte, dst reflect.Value) (code, text string) {
	wrong := func() (string, string) {
		if f.Ref != "" {
			return "incorrect_type", "Incorrect type. Expected pk value, received " + typeName(raw) + "."
		}
		return "invalid", "A valid integer is required."
	}
	if c := raw[0]; c != '"' && c != '-' && (c < '0' || c > '9') {
		return wrong()
	}
	s := strings.TrimSpace(unquote(raw))
	if len(s) > 1000 {
		return "max_string_length", "String value too large."
	}
	if whole, zeros, ok := strings.Cut(s, "."); ok && strings.Trim(zeros, "0") == "" {
		s = whole
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		if s[0] != '-' {
			n, err = 1<<63-1, nil
		} else {
			n, err = -1<<63, nil
		}
	}
	if x, bad := strconv.ParseFloat(s, 64); err != nil && bad == nil && raw[0] != '"' && x == float64(int64(x)) && x > -1e15 && x < 1e15 {
		n, err = int64(x), nil // 1e3
	}
	if err != nil {
		return wrong()
	}
	low, high := f.bounds()
	switch {
	case n > high && f.Ref != "" || n < low && f.Ref != "":
		return "does_not_exist", InvalidPK(s)
	case n > high:
		return "max_value", fmt.Sprintf("Ensure this value is less than or equal to %d.", high)
	case n < low:
		return "min_value", fmt.Sprintf("Ensure this value is greater than or equal to %d.", low)
	}
	dst.SetInt(n)
	return "", ""
}

// bounds are the least and greatest value of an integer. A Go int is kept in PostgreSQL's integer, of 32 bits.
func (f *Field) bounds() (low, high int64) {
	low, high = -1<<31, 1<<31-1
	switch f.Type.Kind() {
	case reflect.Int64:
		low, high = -1<<63, 1<<63-1
	case reflect.Int16:
		low, high = -1<<15, 1<<15-1
	}
	if f.Min != nil {
		low = *f.Min
	}
	if f.Max != nil {
		high = *f.Max
	}
	return low, high
}

// InvalidPK is the message about a key that names no row.
func InvalidPK(key any) string {
	return fmt.Sprintf("Invalid pk \"%s\" - object does not exist.", excerpt(fmt.Sprint(key)))
}

func (f *Field) uuid(raw []byte, dst reflect.Value) (code, text string) {
	s := strings.TrimSpace(unquote(raw))
	u, err := uuid.Parse(s)
	switch {
	case err == nil && raw[0] == '"':
		dst.Set(reflect.ValueOf(u))
		return "", ""
	case f.Ref != "" && raw[0] != '"':
		return "incorrect_type", "Incorrect type. Expected pk value, received " + typeName(raw) + "."
	case f.Ref != "":
		return "invalid", "“" + excerpt(s) + "” is not a valid UUID."
	}
	return "invalid", "Must be a valid UUID."
}

func (f *Field) json(raw []byte, dst reflect.Value) (code, text string) {
	var any any
	if json.Unmarshal(raw, &any) != nil {
		return "invalid", "Value must be valid JSON." // a number beyond a float's range
	}
	if holdsNull(any) {
		return "null_characters_not_allowed", "Null characters are not allowed."
	}
	if f.Type == rawType {
		dst.SetBytes(bytes.Clone(raw))
		return "", ""
	}
	if !reflect.TypeOf(any).AssignableTo(f.Type) {
		return "invalid", "Not a valid value."
	}
	dst.Set(reflect.ValueOf(any))
	return "", ""
}

func (f *Field) mapping(raw []byte, dst reflect.Value, m Mode, at string, errs fault.Fields) (code, text string) {
	if raw[0] != '{' {
		return "invalid", "Value must be a dictionary, and not have any duplicate keys."
	}
	if f.Elem.Kind == JSON {
		var v map[string]any
		if json.Unmarshal(raw, &v) != nil {
			return "invalid", "Value must be valid JSON."
		}
		if holdsNull(v) {
			return "null_characters_not_allowed", "Null characters are not allowed."
		}
		dst.Set(reflect.ValueOf(v).Convert(f.Type))
		return "", ""
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(raw, &inner) != nil {
		return "invalid", "Value must be valid JSON."
	}
	out := reflect.MakeMapWithSize(f.Type, len(inner))
	for k, r := range inner {
		if strings.ContainsRune(k, 0) {
			return "null_characters_not_allowed", "Null characters are not allowed."
		}
		e := reflect.New(f.Type.Elem()).Elem()
		f.Elem.decode(r, e, m, at+"."+strings.ReplaceAll(k, ".", "_"), errs)
		out.SetMapIndex(reflect.ValueOf(k).Convert(f.Type.Key()), e)
	}
	dst.Set(out)
	return "", ""
}

func (f *Field) list(raw []byte, dst reflect.Value, m Mode, at string, errs fault.Fields) (code, text string) {
	var items []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
		return "not_a_list", fmt.Sprintf("Expected a list of items but got type %q.", typeName(raw))
	}
	if f.Min != nil && len(items) == 0 && *f.Min > 0 {
		return "empty", "This list may not be empty."
	}
	if f.Max != nil && int64(len(items)) > *f.Max {
		return "max_length", fmt.Sprintf("Ensure this field has no more than %d elements.", *f.Max)
	}
	out := reflect.MakeSlice(f.Type, len(items), len(items))
	for i, r := range items {
		where := at + "." + strconv.Itoa(i)
		if f.Ref != "" { // Django tells of keys in the list as if they were the list
			where = at
		}
		e := out.Index(i)
		if f.Elem.Kind == Struct && !f.Elem.Pointer {
			f.Elem.Object.Defaults(e)
		}
		f.Elem.decode(r, e, Create, where, errs)
	}
	dst.Set(out)
	return "", ""
}

// unquote is the text of a JSON string, and of anything else its literal.
func unquote(raw []byte) string {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : n-1])
	}
	var s string
	if raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// typeName is what Python calls the type of a JSON value; the messages of the contract use it.
func typeName(raw []byte) string {
	switch c := raw[0]; {
	case c == '"':
		return "str"
	case c == '{':
		return "dict"
	case c == '[':
		return "list"
	case c == 't' || c == 'f':
		return "bool"
	case c == 'n':
		return "NoneType"
	case bytes.ContainsAny(raw, ".eE"):
		return "float"
	}
	return "int"
}

// TypeName is what Python calls the type of a JSON value, which is not empty.
func TypeName(raw json.RawMessage) string { return typeName(bytes.TrimSpace(raw)) }

// excerpt bounds what a message repeats of the input.
func excerpt(s string) string {
	if utf8.RuneCountInString(s) <= 100 {
		return s
	}
	return string([]rune(s)[:100]) + "…"
}

// holdsNull tells whether any text in a JSON value has a NUL, which PostgreSQL cannot keep.
func holdsNull(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, holdsNull)
	case map[string]any:
		for k, e := range v {
			if strings.ContainsRune(k, 0) || holdsNull(e) {
				return true
			}
		}
	}
	return false
}

// Parse reads one JSON value into dst, which is settable and of the field's type, and returns what is wrong with it.
func (f *Field) Parse(raw json.RawMessage, dst reflect.Value) string {
	errs := fault.Fields{}
	_, text := f.value(raw, dst, Create, "", errs)
	for _, v := range errs {
		text = v[0].Text
	}
	return text
}

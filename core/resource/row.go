package resource

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api/schema"
)

// scan reads the current row into v, which holds the defaults that settings fall back on.
func (p *plan) scan(rows pgx.Rows, v reflect.Value) error {
	targets := make([]any, 0, len(p.columns)+1)
	for _, c := range p.columns {
		dst := v.FieldByIndex(c.field.Index)
		if c.field.Kind == schema.Text {
			targets = append(targets, &textScan{dst, c.field.Pointer})
			continue
		}
		targets = append(targets, dst.Addr().Interface())
	}
	var settings []byte
	if p.kind != "" {
		targets = append(targets, &settings)
	}
	if err := rows.Scan(targets...); err != nil {
		return fmt.Errorf("read row of %s: %w", p.table, err)
	}
	if p.kind == "" {
		return nil
	}
	return p.scanSettings(settings, v)
}

func (p *plan) scanSettings(raw []byte, v reflect.Value) error {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(raw, &settings); err != nil {
		return fmt.Errorf("read %s of %s: %w", p.settings, p.table, err)
	}
	for _, f := range p.within {
		raw, ok := settings[f.Name]
		if !ok {
			continue
		}
		dst := v.FieldByIndex(f.Index)
		dst.SetZero()
		if err := json.Unmarshal(raw, dst.Addr().Interface()); err != nil {
			return fmt.Errorf("read %s.%s of %s: %w", p.settings, f.Name, p.table, err)
		}
	}
	return nil
}

// textScan reads a text column into a type of its own.
type textScan struct {
	dst     reflect.Value
	pointer bool
}

// Scan implements sql.Scanner.
func (s *textScan) Scan(src any) error {
	text, ok := src.(string)
	switch {
	case src == nil && s.pointer:
		s.dst.SetZero()
		return nil
	case !ok:
		return fmt.Errorf("read text into %s: it is %T", s.dst.Type(), src)
	}
	dst := s.dst
	if s.pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	return dst.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
}

// argument is a field's value as pgx should send it.
func argument(f *schema.Field, v reflect.Value) (any, error) {
	if f.Pointer {
		if v.IsNil() {
			return nil, nil
		}
		v = v.Elem()
	}
	switch f.Kind {
	case schema.Text:
		text, err := json.Marshal(v.Interface())
		if err != nil {
			return nil, err
		}
		var s string
		return s, json.Unmarshal(text, &s)
	case schema.String:
		return v.String(), nil
	case schema.Map, schema.Struct, schema.JSON:
		if f.Nullable && (v.Kind() == reflect.Map || v.Kind() == reflect.Interface) && v.IsNil() {
			return nil, nil
		}
		return jsonOf(f, v)
	case schema.List:
		switch {
		case v.IsNil() && f.Nullable:
			return nil, nil
		case f.Elem.Kind == schema.Struct || f.Elem.Kind == schema.Map || f.Elem.Kind == schema.JSON || f.Elem.Kind == schema.List:
			return jsonOf(f, v)
		case v.IsNil():
			return reflect.MakeSlice(v.Type(), 0, 0).Interface(), nil
		case f.Elem.Kind == schema.String && !f.Elem.Pointer: // a named string type is an array of text to pgx only by its own name
			out := make([]string, v.Len())
			for i := range out {
				out[i] = v.Index(i).String()
			}
			return out, nil
		}
	}
	return v.Interface(), nil
}

// jsonOf is a value as jsonb, nil lists and maps as empty ones.
func jsonOf(f *schema.Field, v reflect.Value) (json.RawMessage, error) {
	switch {
	case f.Kind == schema.List && v.IsNil():
		return json.RawMessage("[]"), nil
	case f.Kind == schema.Map && v.IsNil():
		return json.RawMessage("{}"), nil
	}
	return json.Marshal(v.Interface())
}

// settingsOf is the settings column of a kind's row.
func (p *plan) settingsOf(v reflect.Value) (json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(p.within))
	for _, f := range p.within {
		fv := v.FieldByIndex(f.Index)
		raw, err := json.Marshal(fv.Interface())
		if (f.Kind == schema.List || f.Kind == schema.Map) && !f.Nullable && !f.Pointer && fv.IsNil() {
			raw, err = jsonOf(f, fv)
		}
		if err != nil {
			return nil, fmt.Errorf("write %s.%s: %w", p.settings, f.Name, err)
		}
		out[f.Name] = raw
	}
	return json.Marshal(out)
}

// keyOf is a row's key.
func (p *plan) keyOf(v reflect.Value) any { return v.FieldByIndex(p.key.Index).Interface() }

// nameOf is what people call the row.
func (p *plan) nameOf(v reflect.Value) string {
	fv := v.FieldByIndex(p.display.Index)
	if p.display.Pointer {
		if fv.IsNil() {
			return ""
		}
		fv = fv.Elem()
	}
	return fmt.Sprint(fv.Interface())
}

// ownerOf is the user whose row it is, by the column user_id; 0 where there is none.
func (p *plan) ownerOf(v reflect.Value) int {
	f := p.column("user_id")
	if f == nil || f.Pointer || f.Kind != schema.Int {
		return 0
	}
	return int(v.FieldByIndex(f.Index).Int())
}

// fill gives a new row its keys. ids makes UUIDs.
func (p *plan) fill(v reflect.Value, ids func() (uuid.UUID, error)) error {
	for _, c := range p.stored {
		f := c.field
		if f.Kind != schema.UUID || f.Pointer || f.Ref != "" || !f.PK && !f.ReadOnly && f.Name != "" {
			continue
		}
		if fv := v.FieldByIndex(f.Index); fv.IsZero() {
			id, err := ids()
			if err != nil {
				return fmt.Errorf("make a key: %w", err)
			}
			fv.Set(reflect.ValueOf(id))
		}
	}
	if p.kindAt != nil && p.kind != "" {
		v.FieldByIndex(p.kindAt.Index).SetString(p.kind)
	}
	return nil
}

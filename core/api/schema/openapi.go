package schema

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Side says which of an object's three schemas is meant.
type Side int

// The sides: X as answered, XRequest as sent to POST and PUT, PatchedXRequest as sent to PATCH.
const (
	Response Side = iota
	Request
	Patched
)

// Union is a body that is one of several objects, told apart by the value of one property: oneOf with a discriminator.
type Union struct {
	Name     string         // of the component
	Property string         // the discriminator
	Types    map[string]any // an example value by the property's value
}

// component is a named schema and the type that it was made from, to find two types with one name.
type component struct {
	from   any
	schema *openapi3.Schema
}

// Components are the named schemas made so far.
func (s *Set) Components() openapi3.Schemas {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := openapi3.Schemas{}
	for name, c := range s.components {
		out[name] = &openapi3.SchemaRef{Value: c.schema}
	}
	return out
}

// Ref is the schema of a body: of a struct by reference to its component, which is added when it is new.
// Errors: a wrong declaration, or two types with the same component name.
func (s *Set) Ref(t reflect.Type, side Side) (*openapi3.SchemaRef, error) {
	f, err := s.value(t)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ref(f, side)
}

// UnionRef is the schema of a union.
func (s *Set) UnionRef(u Union, side Side) (*openapi3.SchemaRef, error) {
	mapping := map[string]openapi3.MappingRef{}
	out := &openapi3.Schema{Discriminator: &openapi3.Discriminator{PropertyName: u.Property}}
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(u.Types)) {
		ref, err := s.Ref(reflect.TypeOf(u.Types[key]), side)
		if err != nil {
			return nil, fmt.Errorf("union %s, %s: %w", u.Name, key, err)
		}
		mapping[key] = openapi3.MappingRef{Ref: ref.Ref}
		if !seen[ref.Ref] {
			out.OneOf = append(out.OneOf, ref)
			seen[ref.Ref] = true
		}
	}
	out.Discriminator.Mapping = mapping
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(sideName(u.Name, side), u.Name, func(into *openapi3.Schema) error { *into = *out; return nil })
}

// sideName is the component's name on a side.
func sideName(name string, side Side) string {
	switch {
	case side == Response:
		return name
	case !strings.HasSuffix(name, "Request"):
		name += "Request"
	}
	if side == Patched {
		return "Patched" + name
	}
	return name
}

// add makes a component, unless it is there already, and gives the reference to it.
func (s *Set) add(name string, from any, fill func(*openapi3.Schema) error) (*openapi3.SchemaRef, error) {
	ref := &openapi3.SchemaRef{Ref: "#/components/schemas/" + name}
	if c := s.components[name]; c != nil {
		if c.from != from {
			return nil, fmt.Errorf("the component %s is made from both %v and %v; rename one with SchemaName", name, c.from, from)
		}
		return ref, nil
	}
	c := &component{from: from, schema: &openapi3.Schema{}}
	s.components[name] = c // before it is filled: it may hold itself
	return ref, fill(c.schema)
}

// ref is the schema of a field's value, without what the field says beside its type.
func (s *Set) ref(f *Field, side Side) (*openapi3.SchemaRef, error) {
	if f.Kind == Struct {
		if f.Object.Name == "" {
			out := &openapi3.Schema{}
			return &openapi3.SchemaRef{Value: out}, s.object3(f.Object, side, out)
		}
		return s.add(sideName(f.Object.Name, side), f.Object.Type, func(out *openapi3.Schema) error {
			return s.object3(f.Object, side, out)
		})
	}
	if f.EnumName != "" {
		return s.add(f.EnumName, f.Type, func(out *openapi3.Schema) error {
			*out = openapi3.Schema{Type: &openapi3.Types{"string"}, Enum: anys(f.Enum)}
			return nil
		})
	}
	out := &openapi3.Schema{}
	if err := s.plain(f, side, out); err != nil {
		return nil, err
	}
	return &openapi3.SchemaRef{Value: out}, nil
}

func anys(values []string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// object3 fills an object's schema.
func (s *Set) object3(o *Object, side Side, out *openapi3.Schema) error {
	out.Type, out.Description, out.Properties = &openapi3.Types{"object"}, o.Doc, openapi3.Schemas{}
	for _, f := range o.Fields {
		switch {
		case f.Name == "", side == Response && f.WriteOnly, side != Response && f.ReadOnly:
			continue
		case side == Response && (f.Required || f.ReadOnly) && !f.Omit, side == Request && f.Required:
			out.Required = append(out.Required, f.Name)
		}
		inside := side
		if side == Patched { // only the outermost object may be sent in part
			inside = Request
		}
		ref, err := s.property(f, inside)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", o.Name, f.Name, err)
		}
		out.Properties[f.Name] = ref
	}
	slices.Sort(out.Required)
	return nil
}

// property is the schema of a field with all that the field says. A reference takes no siblings in OpenAPI 3.0, so one
// with something to add is wrapped in allOf.
func (s *Set) property(f *Field, side Side) (*openapi3.SchemaRef, error) {
	ref, err := s.ref(f, side)
	if err != nil {
		return nil, err
	}
	beside := &openapi3.Schema{Nullable: f.Nullable, ReadOnly: f.ReadOnly, WriteOnly: f.WriteOnly, Title: f.Title, Description: f.Doc}
	if f.HasDefault {
		beside.Default = f.defaultValue()
	}
	if ref.Ref != "" {
		if beside.Nullable || beside.ReadOnly || beside.WriteOnly || beside.Title != "" || beside.Description != "" || f.HasDefault {
			beside.AllOf = openapi3.SchemaRefs{ref}
			return &openapi3.SchemaRef{Value: beside}, nil
		}
		return ref, nil
	}
	v := ref.Value
	v.Nullable, v.ReadOnly, v.WriteOnly, v.Title, v.Default = beside.Nullable, beside.ReadOnly, beside.WriteOnly, beside.Title, beside.Default
	if beside.Description != "" {
		v.Description = beside.Description
	}
	return ref, nil
}

func (f *Field) defaultValue() any {
	switch f.Kind {
	case Bool:
		return f.Default == "true"
	case Int, Float:
		var n float64
		_, _ = fmt.Sscan(f.Default, &n)
		return n
	}
	return f.Default
}

// plain fills the schema of what is no component.
func (s *Set) plain(f *Field, side Side, out *openapi3.Schema) (err error) {
	name := ""
	switch f.Kind {
	case String, Text:
		name, out.Format, out.Enum = "string", f.Format, anys(f.Enum)
		if len(f.Enum) == 0 {
			s.text(f, side, out)
		}
	case Bool:
		name = "boolean"
	case Int:
		name = "integer"
		s.integer(f, out)
		if f.Number {
			name = "number"
		}
	case Float:
		name, out.Format = "number", "double"
	case UUID:
		name, out.Format = "string", "uuid"
	case Time:
		name, out.Format = "string", "date-time"
	case Map:
		name = "object"
		inner := &openapi3.SchemaRef{Value: &openapi3.Schema{}}
		if f.Elem.Kind != JSON {
			if inner, err = s.property(f.Elem, side); err != nil {
				return err
			}
		}
		out.AdditionalProperties = openapi3.AdditionalProperties{Schema: inner}
	case List:
		name = "array"
		if out.Items, err = s.property(f.Elem, side); err != nil {
			return err
		}
		if f.Max != nil {
			n := uint64(*f.Max)
			out.MaxItems = &n
		}
		if f.Min != nil {
			out.MinItems = uint64(*f.Min)
		}
	}
	if name != "" {
		out.Type = &openapi3.Types{name}
	}
	return nil
}

func (s *Set) text(f *Field, side Side, out *openapi3.Schema) {
	if out.Format == "slug" {
		out.Format, out.Pattern = "", SlugPattern
	}
	if f.Pattern != nil {
		out.Pattern = f.Pattern.String()
	}
	if f.Max != nil {
		n := uint64(*f.Max)
		out.MaxLength = &n
	}
	if f.Min != nil {
		out.MinLength = uint64(*f.Min)
	}
	if side != Response && !f.Blank && out.MinLength == 0 {
		out.MinLength = 1
	}
}

// integer states the bounds of int32, as the contract does, and those that are asked for.
func (s *Set) integer(f *Field, out *openapi3.Schema) {
	if f.Min == nil && f.Max == nil && f.Type.Kind() != reflect.Int32 || f.ReadOnly {
		return
	}
	low, high := f.bounds()
	l, h := float64(low), float64(high)
	if f.Min != nil || f.Type.Kind() == reflect.Int32 {
		out.Min = &l
	}
	if f.Max != nil || f.Type.Kind() == reflect.Int32 {
		out.Max = &h
	}
}

package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Enum is implemented by string types with a closed set of values, on the value receiver. Its schema is a component
// with the type's name, or SchemaName's.
type Enum interface{ Enum() []string }

// Named gives a type another component name than its Go name.
type Named interface{ SchemaName() string }

// Described gives a component a description.
type Described interface{ SchemaDoc() string }

// Kind is what a field's value is on the wire.
type Kind int

// The kinds. JSON is any value at all.
const (
	String Kind = iota
	Bool
	Int
	Float
	UUID
	Time
	Text // a Go type of its own that is a string on the wire
	JSON
	Map
	List
	Struct
	Bytes // stored only
)

// Object is a struct, compiled. It is immutable.
type Object struct {
	Name   string // of the component; "" for an anonymous struct, which is described in place
	Doc    string
	Type   reflect.Type
	Fields []*Field // in order of declaration; embedded ones where they are embedded
	byName map[string]*Field
}

// Field is one field of an Object, or the element of a list or map.
type Field struct {
	Name    string // JSON key; "" for a field that is only stored
	Column  string // db tag
	Within  string // the jsonb column that holds it, under Name
	Index   []int
	Type    reflect.Type // without the pointer
	Pointer bool
	Kind    Kind
	Object  *Object // of a Struct
	Elem    *Field  // of a List or Map

	PK, ReadOnly, WriteOnly, Required, Nullable, Blank, Unique, Reset, Raw, Number, Omit bool

	Min, Max      *int64
	Enum          []string
	EnumName      string // of the component
	Format, Title string
	Doc, Default  string
	HasDefault    bool
	Pattern       *regexp.Regexp
	Ref, OnDelete string
}

// Field finds a field by its JSON name, nil when there is none.
func (o *Object) Field(name string) *Field { return o.byName[name] }

// Set holds compiled structs and the components made from them, each once. It is safe for concurrent use.
type Set struct {
	mu         sync.Mutex
	objects    map[reflect.Type]*Object
	values     map[reflect.Type]*Field
	components map[string]*component
}

// NewSet makes an empty set.
func NewSet() *Set {
	return &Set{objects: map[reflect.Type]*Object{}, values: map[reflect.Type]*Field{}, components: map[string]*component{}}
}

// Object compiles a struct type, or a pointer to one. Errors: a wrong declaration, saying which field and why.
func (s *Set) Object(t reflect.Type) (*Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.object(t)
}

func (s *Set) object(t reflect.Type) (*Object, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if o := s.objects[t]; o != nil {
		return o, nil
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%s is not a struct", t)
	}
	o := &Object{Name: componentName(t), Type: t, byName: map[string]*Field{}}
	if d, ok := reflect.Zero(t).Interface().(Described); ok {
		o.Doc = d.SchemaDoc()
	}
	s.objects[t] = o // before its fields: a struct may hold itself
	if err := s.collect(o, t, nil, ""); err != nil {
		delete(s.objects, t)
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	return o, nil
}

// collect adds the fields of t, found at index within the outer struct.
func (s *Set) collect(o *Object, t reflect.Type, index []int, within string) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(append([]int(nil), index...), i)
		if sf.Anonymous && sf.Tag.Get("json") == "" && sf.Type.Kind() == reflect.Struct {
			column := within
			if c := sf.Tag.Get("db"); c != "" {
				column = c
			}
			if err := s.collect(o, sf.Type, at, column); err != nil {
				return err
			}
			continue
		}
		if !sf.IsExported() {
			continue
		}
		f, err := s.field(sf)
		if err != nil {
			return fmt.Errorf("field %s: %w", sf.Name, err)
		}
		if f == nil {
			continue
		}
		f.Index, f.Within = at, within
		if within != "" && f.Column != "" {
			return fmt.Errorf("field %s: it lives in %s already; drop its db tag", sf.Name, within)
		}
		if f.Name != "" {
			if o.byName[f.Name] != nil {
				return fmt.Errorf("field %s: the JSON name %q is taken by another field", sf.Name, f.Name)
			}
			o.byName[f.Name] = f
		}
		o.Fields = append(o.Fields, f)
	}
	return nil
}

func (s *Set) field(sf reflect.StructField) (*Field, error) {
	name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
	f := &Field{Column: sf.Tag.Get("db"), Doc: sf.Tag.Get("doc")}
	switch {
	case name == "-" && f.Column == "":
		return nil, nil
	case name == "-":
	case name == "":
		return nil, fmt.Errorf(`give it a json tag, or json:"-"`)
	default:
		f.Name = name
	}
	for o := range strings.SplitSeq(options, ",") {
		f.Omit = f.Omit || o == "omitempty" || o == "omitzero"
	}
	if err := s.typed(f, sf.Type); err != nil {
		return nil, err
	}
	f.Nullable = f.Pointer && !f.Omit
	if err := f.words(sf.Tag.Get("api")); err != nil {
		return nil, err
	}
	if f.Kind == Bytes && f.Name != "" {
		return nil, fmt.Errorf(`bytes have no place in JSON: json:"-", or another type`)
	}
	// A read-only object that Load fills is there as a rule; null is for those that say so.
	if f.Pointer && f.Kind == Struct && f.ReadOnly && !strings.Contains(sf.Tag.Get("api"), "nullable") {
		f.Nullable = false
	}
	return f, nil
}

var (
	uuidType  = reflect.TypeFor[uuid.UUID]()
	timeType  = reflect.TypeFor[time.Time]()
	rawType   = reflect.TypeFor[json.RawMessage]()
	bytesType = reflect.TypeFor[[]byte]()
	textType  = reflect.TypeFor[encoding.TextUnmarshaler]()
	enumType  = reflect.TypeFor[Enum]()
)

// typed fills in what the Go type alone says.
func (s *Set) typed(f *Field, t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		t, f.Pointer = t.Elem(), true
	}
	f.Type = t
	if t.Implements(enumType) && t.Kind() == reflect.String {
		f.Enum = reflect.Zero(t).Interface().(Enum).Enum()
		f.EnumName = componentName(t)
	}
	switch {
	case t == uuidType:
		f.Kind = UUID
	case t == timeType:
		f.Kind = Time
	case t == rawType || t.Kind() == reflect.Interface:
		f.Kind = JSON
	case t == bytesType:
		f.Kind = Bytes
	case reflect.PointerTo(t).Implements(textType):
		f.Kind = Text
	case t.Kind() == reflect.String:
		f.Kind = String
	case t.Kind() == reflect.Bool:
		f.Kind = Bool
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int32, t.Kind() == reflect.Int64, t.Kind() == reflect.Int16:
		f.Kind = Int
	case t.Kind() == reflect.Float64, t.Kind() == reflect.Float32:
		f.Kind = Float
	case t.Kind() == reflect.Struct:
		o, err := s.object(t)
		if err != nil {
			return err
		}
		f.Kind, f.Object = Struct, o
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		f.Kind = List
		if t.Kind() == reflect.Map {
			f.Kind = Map
		}
		f.Elem = &Field{}
		if err := s.typed(f.Elem, t.Elem()); err != nil {
			return err
		}
		f.Elem.Nullable = f.Elem.Pointer && f.Elem.Kind != Struct
	default:
		return fmt.Errorf("the type %s has no place in JSON here", t)
	}
	return nil
}

// words reads the api tag.
func (f *Field) words(tag string) error {
	flags := map[string]*bool{
		"pk": &f.PK, "ro": &f.ReadOnly, "wo": &f.WriteOnly, "required": &f.Required, "nullable": &f.Nullable,
		"blank": &f.Blank, "unique": &f.Unique, "reset": &f.Reset, "raw": &f.Raw, "number": &f.Number,
	}
	values := map[string]*string{"format": &f.Format, "title": &f.Title, "ref": &f.Ref, "delete": &f.OnDelete}
	for tag != "" {
		if re, ok := strings.CutPrefix(tag, "pattern="); ok {
			p, err := regexp.Compile(re)
			if err != nil {
				return fmt.Errorf("pattern: %w", err)
			}
			f.Pattern, tag = p, ""
			continue
		}
		var word string
		word, tag, _ = strings.Cut(tag, ",")
		key, value, hasValue := strings.Cut(word, "=")
		switch {
		case !hasValue && flags[key] != nil:
			*flags[key] = true
		case hasValue && values[key] != nil:
			*values[key] = value
		case hasValue && key == "enum":
			f.Enum, f.EnumName = strings.Fields(value), "" // the tag wins over the type
		case hasValue && key == "default":
			f.Default, f.HasDefault = value, true
		case hasValue && (key == "min" || key == "max"):
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("%s is no number", word)
			}
			if key == "min" {
				f.Min = &n
			} else {
				f.Max = &n
			}
		default:
			return fmt.Errorf("the api tag has no word %q; see the documentation of package schema", word)
		}
	}
	return f.settle()
}

// settle checks the words against each other and hands those that are about elements down to them.
func (f *Field) settle() error {
	switch {
	case f.ReadOnly && f.WriteOnly:
		return fmt.Errorf("ro and wo exclude each other")
	case f.ReadOnly && f.Required:
		return fmt.Errorf("ro is never sent, so it cannot be required; ro alone is always answered")
	case f.Blank && f.Kind != String && f.Kind != Text:
		return fmt.Errorf("blank is for strings")
	}
	switch f.OnDelete {
	case "":
		if f.Ref != "" {
			f.OnDelete = map[bool]string{true: "set_null", false: "cascade"}[f.Pointer]
			if f.Kind == List {
				f.OnDelete = "cascade_many"
			}
		}
	case "set_null":
		if !f.Pointer {
			return fmt.Errorf("delete=set_null needs a pointer")
		}
	case "cascade", "cascade_many", "set_default":
	default:
		return fmt.Errorf("delete=%s: cascade, set_null or cascade_many", f.OnDelete)
	}
	if f.Kind == List && f.Elem != nil {
		f.Elem.Ref = f.Ref
		if f.EnumName == "" && len(f.Enum) > 0 {
			f.Elem.Enum, f.Enum = f.Enum, nil
		}
		if f.Format != "" {
			f.Elem.Format, f.Format = f.Format, ""
		}
	}
	return nil
}

// componentName is the name by which a type is found in the document; "" for an anonymous one.
func componentName(t reflect.Type) string {
	if n, ok := reflect.Zero(t).Interface().(Named); ok {
		return n.SchemaName()
	}
	return t.Name()
}

package schema_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/api/schema"
)

type colour string

func (colour) Enum() []string { return []string{"red", "green"} }

type pet struct {
	Name string `json:"name" api:"required,max=5"`
	Age  int32  `json:"age" api:"ro"`
}

type person struct {
	ID       uuid.UUID         `json:"id" api:"ro"`
	Name     string            `json:"name" api:"required,max=10" doc:"The full name."`
	Nick     string            `json:"nick" api:"blank"`
	Password string            `json:"password" api:"wo,raw"`
	Colour   colour            `json:"colour"`
	Mood     *colour           `json:"mood"`
	Size     string            `json:"size" api:"enum=s m l"`
	Born     *time.Time        `json:"born"`
	Address  netip.Addr        `json:"address"`
	Pet      *pet              `json:"pet"`
	Pets     []pet             `json:"pets" api:"max=2"`
	Tags     []string          `json:"tags"`
	Colours  []colour          `json:"colours"`
	Limits   map[string]int    `json:"limits"`
	Extra    any               `json:"extra" api:"nullable"`
	Raw      json.RawMessage   `json:"raw" api:"nullable"`
	Expiring bool              `json:"expiring" api:"default=true"`
	Labels   map[string]string `json:"labels" api:"nullable"`
	Link     string            `json:"link,omitempty"`
	Place    struct {
		City string `json:"city" api:"required"`
	} `json:"place"`
	hidden int //nolint:unused // unexported fields are passed over
}

type petA struct {
	A string `json:"a"`
}

func compile(t testing.TB, v any) *schema.Object {
	t.Helper()
	o, err := schema.NewSet().Object(reflect.TypeOf(v))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func decode(t testing.TB, o *schema.Object, body string, into any, m schema.Mode) map[string]string {
	t.Helper()
	var sent map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &sent); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for field, violations := range o.Decode(sent, reflect.ValueOf(into).Elem(), m) {
		var texts []string
		for _, v := range violations {
			texts = append(texts, v.Code+": "+v.Text)
		}
		out[field] = strings.Join(texts, " | ")
	}
	return out
}

func TestDecode(t *testing.T) {
	t.Parallel()
	o := compile(t, person{})
	for _, c := range []struct{ body, field, want string }{
		{`{}`, "name", "required: This field is required."},
		{`{"name":null}`, "name", "null: This field may not be null."},
		{`{"name":"  "}`, "name", "blank: This field may not be blank."},
		{`{"name":true}`, "name", "invalid: Not a valid string."},
		{`{"name":"ééééééééééé"}`, "name", "max_length: Ensure this field has no more than 10 characters."},
		{`{"name":"a\u0000"}`, "name", "null_characters_not_allowed: Null characters are not allowed."},
		{`{"name":"a","colour":"blue"}`, "colour", `invalid_choice: "blue" is not a valid choice.`},
		{`{"name":"a","colour":null}`, "colour", "null: This field may not be null."},
		{`{"name":"a","mood":"sad"}`, "mood", `invalid_choice: "sad" is not a valid choice.`},
		{`{"name":"a","size":"xl"}`, "size", `invalid_choice: "xl" is not a valid choice.`},
		{`{"name":"a","address":"1.2.3"}`, "address", "invalid: Not a valid value."},
		{`{"name":"a","pet":5}`, "pet.non_field_errors", "invalid: Invalid data. Expected a dictionary, but got int."},
		{`{"name":"a","pet":{}}`, "pet.name", "required: This field is required."},
		{`{"name":"a","pets":[{"name":"x"},{"name":"toolong"}]}`, "pets.1.name", "max_length: Ensure this field has no more than 5 characters."},
		{`{"name":"a","pets":[{"name":"x"},{"name":"x"},{"name":"x"}]}`, "pets", "max_length: Ensure this field has no more than 2 elements."},
		{`{"name":"a","tags":["x",null]}`, "tags.1", "null: This field may not be null."},
		{`{"name":"a","colours":["red","blue"]}`, "colours.1", `invalid_choice: "blue" is not a valid choice.`},
		{`{"name":"a","limits":{"a":"b"}}`, "limits.a", "invalid: A valid integer is required."},
		{`{"name":"a","extra":1e999}`, "extra", "invalid: Value must be valid JSON."},
		{`{"name":"a","extra":["\u0000"]}`, "extra", "null_characters_not_allowed: Null characters are not allowed."},
		{`{"name":"a","place":{}}`, "place.city", "required: This field is required."},
		{`{"name":"a","id":"not looked at","age":[]}`, "", ""},
	} {
		var p person
		got := decode(t, o, c.body, &p, schema.Create)
		if c.field == "" && len(got) > 0 || got[c.field] != c.want {
			t.Errorf("%s: %v, want %s: %s", c.body, got, c.field, c.want)
		}
	}
}

func TestDecodeKeepsWhatIsAbsent(t *testing.T) {
	t.Parallel()
	o := compile(t, person{})
	red := colour("red")
	p := person{Name: "old", Mood: &red, Pet: &pet{Name: "cat", Age: 3}, Tags: []string{"a"}}
	before := p
	if errs := decode(t, o, `{"mood":null,"pet":{"name":"dog"},"tags":[],"password":" x "}`, &p, schema.Patch); len(errs) > 0 {
		t.Fatal(errs)
	}
	if p.Name != "old" || p.Mood != nil || p.Pet.Name != "dog" || p.Pet.Age != 3 || p.Tags == nil || len(p.Tags) != 0 || p.Password != " x " {
		t.Errorf("got %+v", p)
	}
	if before.Pet.Name != "cat" || *before.Mood != "red" {
		t.Error("the stored value was written through a pointer")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	o := compile(t, person{})
	var p person
	o.Defaults(reflect.ValueOf(&p).Elem())
	if errs := decode(t, o, `{"name":"a"}`, &p, schema.Create); len(errs) > 0 || !p.Expiring {
		t.Errorf("absent: %v %v", errs, p.Expiring)
	}
	if errs := decode(t, o, `{"name":"a","expiring":false}`, &p, schema.Create); len(errs) > 0 || p.Expiring {
		t.Errorf("sent: %v %v", errs, p.Expiring)
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	born := time.Date(2024, 5, 6, 7, 8, 9, 120000, time.FixedZone("", 3600))
	p := person{Name: "<é\"", Password: "secret", Born: &born, Address: netip.MustParseAddr("::1"), Pets: []pet{{Name: "x"}}, Limits: map[string]int{"b": 1, "a": 2}}
	raw, err := schema.NewSet().Append(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"00000000-0000-0000-0000-000000000000","name":"\u003cé\"","nick":"","colour":"","mood":null,"size":"",` +
		`"born":"2024-05-06T06:08:09.00012Z","address":"::1","pet":null,"pets":[{"name":"x","age":0}],"tags":[],"colours":[],` +
		`"limits":{"a":2,"b":1},"extra":null,"raw":null,"expiring":false,"labels":null,"place":{"city":""}}`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

func TestWrongDeclarations(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{
		`no word "requird"`: struct {
			A string `json:"a" api:"requird"`
		}{},
		`is taken by another field`: struct {
			petA
			B string `json:"a"`
		}{},
		`give it a json tag`: struct{ A string }{},
		`has no place in JSON`: struct {
			A chan int `json:"a"`
		}{},
		`ro and wo exclude each other`: struct {
			A string `json:"a" api:"ro,wo"`
		}{},
		`cannot be required`: struct {
			A string `json:"a" api:"ro,required"`
		}{},
		`delete=set_null needs a pointer`: struct {
			A int `json:"a" api:"ref=x,delete=set_null"`
		}{},
		`max=x is no number`: struct {
			A int `json:"a" api:"max=x"`
		}{},
		`pattern`: struct {
			A string `json:"a" api:"pattern=("`
		}{},
		`is not a struct`: 5,
	} {
		if _, err := schema.NewSet().Object(reflect.TypeOf(v)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestComponents(t *testing.T) {
	t.Parallel()
	s := schema.NewSet()
	for _, side := range []schema.Side{schema.Response, schema.Request, schema.Patched} {
		if _, err := s.Ref(reflect.TypeFor[person](), side); err != nil {
			t.Fatal(err)
		}
	}
	c := s.Components()
	shown, sent, patched := c["person"].Value, c["personRequest"].Value, c["PatchedpersonRequest"].Value
	if shown == nil || sent == nil || patched == nil || c["petRequest"] == nil || c["colour"] == nil {
		t.Fatalf("components %v", c)
	}
	if got := strings.Join(shown.Required, " "); got != "id name" {
		t.Errorf("required in the answer: %s", got)
	}
	if got := strings.Join(sent.Required, " "); got != "name" || len(patched.Required) != 0 {
		t.Errorf("required in a request: %s, %v", got, patched.Required)
	}
	if shown.Properties["password"] != nil || sent.Properties["id"] != nil || !sent.Properties["password"].Value.WriteOnly || !shown.Properties["id"].Value.ReadOnly {
		t.Error("read-only and write-only fields are on the wrong side")
	}
	if sent.Properties["name"].Value.MinLength != 1 || sent.Properties["nick"].Value.MinLength != 0 || shown.Properties["name"].Value.MinLength != 0 {
		t.Error("minLength is for request strings that may not be blank")
	}
	if m := shown.Properties["mood"].Value; !m.Nullable || len(m.AllOf) != 1 || m.AllOf[0].Ref != "#/components/schemas/colour" {
		t.Errorf("a nullable enum: %+v", m)
	}
	if l := shown.Properties["labels"].Value; !l.Nullable || l.AdditionalProperties.Schema == nil {
		t.Errorf("a map: %+v", l)
	}
}

func TestUnion(t *testing.T) {
	t.Parallel()
	s := schema.NewSet()
	u := schema.Union{Name: "Thing", Property: "kind", Types: map[string]any{"pet": pet{}, "person": person{}, "another pet": pet{}}}
	ref, err := s.UnionRef(u, schema.Request)
	if err != nil || ref.Ref != "#/components/schemas/ThingRequest" {
		t.Fatal(ref, err)
	}
	v := s.Components()["ThingRequest"].Value
	if len(v.OneOf) != 2 || v.Discriminator.PropertyName != "kind" || v.Discriminator.Mapping["another pet"].Ref != "#/components/schemas/petRequest" {
		t.Errorf("union %+v", v)
	}
}

func TestOneNameForTwoTypes(t *testing.T) {
	t.Parallel()
	s := schema.NewSet()
	type pet struct {
		Other string `json:"other"`
	}
	if _, err := s.Ref(reflect.TypeFor[person](), schema.Response); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ref(reflect.TypeFor[pet](), schema.Response); err == nil || !strings.Contains(err.Error(), "rename one with SchemaName") {
		t.Errorf("error %v", err)
	}
}

// FuzzDecode feeds any JSON object to the decoder: it may refuse, but not panic, and what it takes it must be able to
// write and take again.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"name":"a","born":"2024-05-06T07:08:09Z","pet":{"name":"x"},"pets":[{"name":"y"}],"tags":["a"],"limits":{"a":1}}`,
		`{"name":1,"colour":"red","mood":null,"extra":{"a":[1,2,{"b":null}]},"raw":[1e5],"expiring":"yes","labels":{"a.b":"c"}}`,
		`{"name":"\ud800","limits":{"":1.0},"address":"::ffff:1.2.3.4%eth0"}`, `{"name":"a","born":"0000-00-00"}`, `{"limits":{"a":1e3,"b":-9223372036854775809}}`,
	} {
		f.Add(s)
	}
	set := schema.NewSet()
	o, err := set.Object(reflect.TypeFor[person]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var sent map[string]json.RawMessage
		if json.Unmarshal([]byte(body), &sent) != nil {
			return
		}
		p := person{Colour: "red", Size: "s"}
		if len(o.Decode(sent, reflect.ValueOf(&p).Elem(), schema.Create)) > 0 {
			return
		}
		raw, err := set.Append(nil, p)
		if err != nil || !json.Valid(raw) {
			t.Fatalf("%q was taken, but written as %q: %v", body, raw, err)
		}
	})
}

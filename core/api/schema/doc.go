// Package schema reads the facts that a Go struct states about a JSON body, once, and does everything that follows from
// them: it decodes and checks a request body with the messages of Django REST framework, writes a response body, and
// describes both in OpenAPI 3.0.
//
// It owns the vocabulary of the api:"…" tag. It knows no HTTP and no SQL: core/api serves bodies, core/resource stores them.
//
//	struct ── Set.Object ──▶ *Object ─┬─ Decode: keys of the body ──▶ value, fault.Fields
//	                                  ├─ Append: value ──▶ JSON
//	                                  └─ Set.Ref: component X, XRequest or PatchedXRequest
//
// # Fields
//
//	json:"name"      the key; omitempty and omitzero leave the key out when it is empty
//	db:"column"      for core/resource; on an embedded struct: a jsonb column that holds all of its fields
//	doc:"text"       description
//	api:"word,key=value,…"
//
//	pk               the key of the resource
//	ro, wo           only answered (then always present), only read (then never answered)
//	required         must be sent to POST and PUT; in a response it is always there
//	nullable         takes and gives null; a pointer without omitempty is nullable by itself
//	blank            takes ""; without it a string has at least one character
//	unique           for core/resource: no two rows have the same
//	reset            absent in PUT means the default, as in POST, rather than what is stored
//	raw              white space around the text stays (passwords)
//	number           an integer that is documented as a number
//	min=N max=N      characters of a string, items of a list, value of a number
//	enum=a b c       the values taken; a type that implements Enum is better, it is a component; the tag wins over it
//	format=F         email, slug and uri are checked; others only documented
//	pattern=RE       regular expression; it takes the rest of the tag, so it comes last
//	default=V        set when the key is absent (plain bodies), documented
//	ref=NAME         for core/resource: the key of a row of that resource
//	delete=ACTION    for core/resource: cascade, set_null or cascade_many, when that row goes
//	title=T          documented
//
// Field types: string, bool, integers, floats, uuid.UUID, time.Time, types with UnmarshalText, pointers to these
// (nullable), slices, maps with string keys, structs, any and json.RawMessage (any JSON). An embedded struct's fields
// are fields of the outer one.
package schema

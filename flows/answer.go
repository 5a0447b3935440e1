package flows

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"countersign/core/api/schema"
	"countersign/core/fault"
)

// Answer is what the browser posted: the keys of a JSON object, their values not yet looked at.
type Answer map[string]json.RawMessage

// Decode reads an answer into a pointer to a struct by the rules of the API's bodies. What is wrong with it comes
// back as fields, for Stay; nil when nothing is.
func (r *Run) Decode(answer Answer, into any) (fault.Fields, error) {
	object, err := r.engine.schemas.Object(reflect.TypeOf(into))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if fields := object.Decode(answer, reflect.ValueOf(into).Elem(), schema.Create); len(fields) > 0 {
		return fields, nil
	}
	return nil, nil
}

// Refusal turns a refusal that names no field (too often) into a field's error; nil for anything else.
func Refusal(err error, field string) fault.Fields {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.Throttled {
		return fault.Fields{field: {{Text: f.Detail, Code: f.Code}}}
	}
	return nil
}

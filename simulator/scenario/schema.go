package scenario

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// schemaID is where the schema is published, in the repository.
const schemaID = "https://countersign.example/simulator/scenarios/schema.json"

// Schema is the JSON schema (draft 2020-12) of a file, for editors. Anywhere a value stands, "${name}" may.
func Schema(words Words) ([]byte, error) {
	root := object(reflect.TypeFor[Scenario](), words, false)
	root["$schema"], root["$id"] = "https://json-schema.org/draft/2020-12/schema", schemaID
	root["title"], root["description"] = "Scenario of the simulator", "What a run of the simulator is to be."
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}

func object(t reflect.Type, words Words, strict bool) map[string]any {
	names, byName := fields(t)
	properties, required := map[string]any{}, []string{}
	for _, name := range names {
		f := t.Field(byName[name])
		one := value(f.Type, f.Tag, name, words)
		one["description"] = f.Tag.Get("about")
		properties[name] = one
		if strict && f.Tag.Get("required") != "" {
			required = append(required, name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

func value(t reflect.Type, tag reflect.StructTag, name string, words Words) map[string]any {
	if reflect.PointerTo(t).Implements(textType) {
		return map[string]any{"type": "string"}
	}
	switch {
	case t == durationType:
		return map[string]any{"type": "string", "pattern": `^(-?[0-9.]+(ns|us|µs|ms|s|m|h))+$|^0$|\$\{`, "examples": []string{"1.5s"}}
	case t.Kind() == reflect.Struct:
		return object(t, words, true)
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": value(t.Elem(), tag, name, words)}
	case t.Kind() == reflect.Map:
		out := map[string]any{"type": "object", "additionalProperties": value(t.Elem(), "", "", words)}
		if name == "thresholds" {
			out["propertyNames"] = map[string]any{"enum": words.Metrics}
		}
		return out
	case t.Kind() == reflect.Interface:
		return map[string]any{}
	case t.Kind() == reflect.String:
		return text(tag, name, words)
	case t.Kind() == reflect.Bool:
		return orVariable(map[string]any{"type": "boolean"})
	}
	out := map[string]any{"type": "number"}
	if t.Kind() != reflect.Float64 {
		out["type"] = "integer"
	}
	for key, bound := range map[string]string{"minimum": tag.Get("min"), "maximum": tag.Get("max")} {
		if v, err := strconv.ParseFloat(bound, 64); err == nil {
			out[key] = v
		}
	}
	return orVariable(out)
}

func text(tag reflect.StructTag, name string, words Words) map[string]any {
	known := map[string][]string{"do": words.Habits, "mode": words.Modes, "attests": words.Attests}[name]
	if enum := tag.Get("enum"); enum != "" {
		known = strings.Split(enum, "|")
	}
	if len(known) == 0 {
		return map[string]any{"type": "string"}
	}
	return orVariable(map[string]any{"enum": known})
}

func orVariable(one map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{one, map[string]any{"type": "string", "pattern": `\$\{`}}}
}

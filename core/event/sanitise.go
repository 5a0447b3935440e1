package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	masked    = "********************"
	maxText   = 8 << 10 // bytes of one text in an event's context
	maxList   = 200     // items of one list or map
	maxDepth  = 10
	truncated = "… (cut)"
)

// secretWords are what names under which secrets are kept sound like; the wire's pattern. It is generous on purpose.
var secretWords = []string{"API", "TOKEN", "KEY", "SECRET", "PASS", "SIGNATURE", "COOKIE", "AUTHORIZATION"}

// sparedWords hold one of them but name no secret.
var sparedWords = []string{"PASSING", "PASSWORD_CHANGE_DATE", "AUTH_METHOD", "PASS_THROUGH", "PASSKEY"}

func sounding(name string) bool {
	name = strings.ToUpper(name)
	within := func(word string) bool { return strings.Contains(name, word) }
	return slices.ContainsFunc(secretWords, within) && !slices.ContainsFunc(sparedWords, within)
}

// encodeContext makes the context's JSON: masked, bounded, and of a kind that jsonb takes.
func encodeContext(values map[string]any) (json.RawMessage, error) {
	if len(values) == 0 {
		return json.RawMessage("{}"), nil
	}
	clean, err := sanitiseMap(values, 0)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(clean)
	if err != nil {
		return nil, err
	}
	return dropNUL(data), nil
}

// dropNUL takes out U+0000, which JSON may hold and jsonb refuses.
func dropNUL(data []byte) json.RawMessage {
	if !bytes.Contains(data, []byte(`\u0000`)) {
		return data
	}
	var out []byte
	for i := 0; i < len(data); {
		switch {
		case bytes.HasPrefix(data[i:], []byte(`\u0000`)):
			i += 6
		case data[i] == '\\' && i+1 < len(data): // an escape of another kind, a doubled backslash above all
			out = append(out, data[i], data[i+1])
			i += 2
		default:
			out = append(out, data[i])
			i++
		}
	}
	return out
}

func sanitiseMap(in map[string]any, depth int) (map[string]any, error) {
	names := make([]string, 0, len(in))
	for name := range in {
		names = append(names, name)
	}
	slices.Sort(names) // so that what is cut does not depend on chance
	out := make(map[string]any, min(len(in), maxList))
	for _, name := range names {
		if len(out) == maxList {
			break
		}
		value, err := sanitise(in[name], depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, isMap := value.(map[string]any); !isMap && sounding(name) {
			value = masked
		}
		out[cut(name)] = value
	}
	return out, nil
}

// sanitise gives a value of JSON's own types. Structs go through their JSON form, so that names decide there as well.
func sanitise(v any, depth int) (any, error) {
	if depth > maxDepth {
		return truncated, nil
	}
	switch v := v.(type) {
	case nil, bool, int, int32, int64, uint, uint32, uint64, json.Number:
		return v, nil
	case string:
		return cut(v), nil
	case uuid.UUID:
		return hexID(v), nil
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999999Z"), nil
	case time.Duration:
		return strconv.FormatFloat(v.Seconds(), 'f', -1, 64), nil
	case error:
		return cut(v.Error()), nil
	case map[string]any:
		return sanitiseMap(v, depth)
	case []any:
		out := make([]any, 0, min(len(v), maxList))
		for _, item := range v {
			if len(out) == maxList {
				break
			}
			clean, err := sanitise(item, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, clean)
		}
		return out, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var plain any
	if err := dec.Decode(&plain); err != nil {
		return nil, err
	}
	return sanitise(plain, depth)
}

// cut bounds a text; a character that the cut splits goes with it.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText-len(truncated)], "") + truncated
}

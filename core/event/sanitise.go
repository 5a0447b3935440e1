package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
	out, err := appendMap(make([]byte, 0, 512), values, 0)
	if err != nil {
		return nil, err
	}
	return dropNUL(out), nil
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

// appendMap writes the first maxList entries by name, so that what is cut does not depend on chance.
func appendMap(out []byte, in map[string]any, depth int) (_ []byte, err error) {
	names := make([]string, 0, len(in))
	for name := range in {
		names = append(names, name)
	}
	slices.Sort(names)
	out = append(out, '{')
	for i, name := range names[:min(len(names), maxList)] {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, cut(name)), ':')
		value, err := plain(in[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, isMap := value.(map[string]any); !isMap && sounding(name) {
			value = masked
		}
		if out, err = appendValue(out, value, depth+1); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return append(out, '}'), nil
}

// plain gives a value of the types that appendValue knows. Structs go through their JSON form, so that names decide there
// as well.
func plain(v any) (any, error) {
	switch v.(type) {
	case nil, bool, int, int32, int64, uint, uint32, uint64, json.Number, string, uuid.UUID, time.Time, time.Duration, error,
		map[string]any, []any:
		return v, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out any
	return out, dec.Decode(&out)
}

func appendValue(out []byte, v any, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return appendString(out, truncated), nil
	}
	switch v := v.(type) {
	case nil:
		return append(out, "null"...), nil
	case bool:
		return strconv.AppendBool(out, v), nil
	case int:
		return strconv.AppendInt(out, int64(v), 10), nil
	case string:
		return appendString(out, cut(v)), nil
	case uuid.UUID:
		return appendString(out, hexID(v)), nil
	case time.Time:
		return v.UTC().AppendFormat(out, `"2006-01-02T15:04:05.999999Z"`), nil
	case time.Duration:
		return append(strconv.AppendFloat(append(out, '"'), v.Seconds(), 'f', -1, 64), '"'), nil
	case error:
		return appendString(out, cut(v.Error())), nil
	case map[string]any:
		return appendMap(out, v, depth)
	case []any:
		out = append(out, '[')
		for i, item := range v[:min(len(v), maxList)] {
			if i > 0 {
				out = append(out, ',')
			}
			if item, err = plain(item); err != nil {
				return nil, err
			}
			if out, err = appendValue(out, item, depth+1); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	}
	data, err := json.Marshal(v) // a number of another size
	return append(out, data...), err
}

// appendString quotes s; text that needs no escape, which is nearly all, is copied.
func appendString(out []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			data, _ := json.Marshal(s)
			return append(out, data...)
		}
	}
	return append(append(append(out, '"'), s...), '"')
}

// cut bounds a text; a character that the cut splits goes with it.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText-len(truncated)], "") + truncated
}

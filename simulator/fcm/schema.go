package fcm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// kind is the type of a field in the request's schema.
type kind int

const (
	text kind = iota
	boolean
	number
	texts    // list of strings
	numbers  // list of durations as text
	textMap  // string to string
	object   // with the fields in sub
	free     // any object
	duration // "3.5s"
	choice   // one of the values in enum
	moment   // RFC 3339
)

type field struct {
	kind kind
	sub  fields
	enum []string
}

type fields map[string]field

// requestSchema is the request of messages:send as the REST reference has it, by snake-case names.
func requestSchema() fields {
	label := field{kind: object, sub: fields{"analytics_label": {}}}
	return fields{
		"validate_only": {kind: boolean},
		"message": {kind: object, sub: fields{
			"name": {}, "token": {}, "fid": {}, "topic": {}, "condition": {},
			"data":         {kind: textMap},
			"notification": {kind: object, sub: fields{"title": {}, "body": {}, "image": {}}},
			"fcm_options":  label,
			"android": {kind: object, sub: fields{
				"collapse_key": {}, "restricted_package_name": {},
				"priority":                 {kind: choice, enum: []string{"NORMAL", "HIGH"}},
				"ttl":                      {kind: duration},
				"data":                     {kind: textMap},
				"direct_boot_ok":           {kind: boolean},
				"bandwidth_constrained_ok": {kind: boolean},
				"restricted_satellite_ok":  {kind: boolean},
				"fcm_options":              label,
				"notification":             {kind: object, sub: androidNotification()},
			}},
			"webpush": {kind: object, sub: fields{
				"headers": {kind: textMap}, "data": {kind: textMap}, "notification": {kind: free},
				"fcm_options": {kind: object, sub: fields{"link": {}, "analytics_label": {}}},
			}},
			"apns": {kind: object, sub: fields{
				"headers": {kind: textMap}, "payload": {kind: free}, "live_activity_token": {},
				"fcm_options": {kind: object, sub: fields{"analytics_label": {}, "image": {}}},
			}},
		}},
	}
}

func androidNotification() fields {
	return fields{
		"title": {}, "body": {}, "icon": {}, "color": {}, "sound": {}, "tag": {}, "click_action": {},
		"body_loc_key": {}, "body_loc_args": {kind: texts}, "title_loc_key": {}, "title_loc_args": {kind: texts},
		"channel_id": {}, "ticker": {}, "image": {},
		"sticky": {kind: boolean}, "local_only": {kind: boolean}, "event_time": {kind: moment},
		"default_sound": {kind: boolean}, "default_vibrate_timings": {kind: boolean}, "default_light_settings": {kind: boolean},
		"bypass_proxy_notification": {kind: boolean}, "vibrate_timings": {kind: numbers}, "notification_count": {kind: number},
		"notification_priority": {kind: choice, enum: []string{"PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"}},
		"visibility":            {kind: choice, enum: []string{"VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"}},
		"proxy":                 {kind: choice, enum: []string{"PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"}},
		"light_settings": {kind: object, sub: fields{
			"color":             {kind: object, sub: fields{"red": {kind: number}, "green": {kind: number}, "blue": {kind: number}, "alpha": {kind: number}}},
			"light_on_duration": {kind: duration}, "light_off_duration": {kind: duration},
		}},
	}
}

// badField is a value that the schema refuses, at a path such as message.android.ttl.
type badField struct{ path, text string }

func (b *badField) Error() string { return b.text }

// readTree reads one JSON object and nothing after it.
func readTree(body []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, &badField{"", "Invalid JSON payload received. " + err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &badField{"", "Invalid JSON payload received. Text after the message."}
	}
	m, ok := tree.(map[string]any)
	if !ok {
		return nil, &badField{"", "Invalid JSON payload received. The root must be an object."}
	}
	return m, nil
}

// conform holds tree against schema and returns it with snake-case names; the JSON form of a
// protocol buffer admits both spellings. Nulls count as absent.
func conform(tree map[string]any, schema fields, path string) (map[string]any, error) {
	out := make(map[string]any, len(tree))
	for name, value := range tree {
		snake := snakeCase(name)
		f, known := schema[snake]
		if !known {
			at := ""
			if path != "" {
				at = " at '" + path + "'"
			}
			return nil, &badField{path, fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", name, at)}
		}
		if value == nil {
			continue
		}
		where := snake
		if path != "" {
			where = path + "." + snake
		}
		v, err := f.conform(value, where)
		if err != nil {
			return nil, err
		}
		out[snake] = v
	}
	return out, nil
}

var durationForm = regexp.MustCompile(`^-?\d{1,12}(\.\d{1,9})?s$`)

func (f field) conform(value any, path string) (any, error) {
	invalid := func(what string) (any, error) {
		return nil, &badField{path, fmt.Sprintf("Invalid value at '%s' (%s), %s", path, what, shorten(value))}
	}
	switch f.kind {
	case text:
		if _, ok := value.(string); !ok {
			return invalid("TYPE_STRING")
		}
	case boolean:
		if _, ok := value.(bool); !ok {
			return invalid("TYPE_BOOL")
		}
	case number:
		if _, ok := value.(json.Number); !ok {
			return invalid("TYPE_NUMBER")
		}
	case texts, numbers:
		list, ok := value.([]any)
		if !ok {
			return invalid("repeated")
		}
		for _, one := range list {
			s, ok := one.(string)
			if !ok || f.kind == numbers && !durationForm.MatchString(s) {
				return invalid("repeated")
			}
		}
	case textMap:
		m, ok := value.(map[string]any)
		if !ok {
			return invalid("map of string to string")
		}
		for key, one := range m {
			if _, ok := one.(string); !ok {
				return nil, &badField{path, fmt.Sprintf("Invalid value at '%s[%s].value' (TYPE_STRING), %s", path, key, shorten(one))}
			}
		}
	case object, free:
		m, ok := value.(map[string]any)
		if !ok {
			return invalid("object")
		}
		if f.kind == object {
			return conform(m, f.sub, path)
		}
	case duration:
		s, ok := value.(string)
		if !ok || !durationForm.MatchString(s) {
			return invalid("type.googleapis.com/google.protobuf.Duration")
		}
	case choice:
		s, ok := value.(string)
		if !ok {
			return invalid("enum")
		}
		upper := strings.ToUpper(s)
		for _, one := range f.enum {
			if upper == one {
				return upper, nil
			}
		}
		return invalid("enum")
	case moment:
		s, ok := value.(string)
		if !ok {
			return invalid("type.googleapis.com/google.protobuf.Timestamp")
		}
		if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			return invalid("type.googleapis.com/google.protobuf.Timestamp")
		}
	}
	return value, nil
}

func shorten(value any) string {
	s, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	if len(s) > 80 {
		s = append(s[:80:80], "…"...)
	}
	return string(bytes.ToValidUTF8(s, nil))
}

func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

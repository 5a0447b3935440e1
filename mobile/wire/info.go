package wire

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Limits on what a phone may say of itself and send. Lengths of text are in characters unless the
// name says bytes.
const (
	MaxText        = 255      // any one text of Info; also device_uid
	MaxOthersBytes = 8 << 10  // Info.Others as JSON
	MaxAddress     = 4 << 10  // firebase_key
	MaxItem        = 64       // selected_item
	MaxBodyBytes   = 32 << 10 // a whole device request
)

// Violation is one rule that a request breaks.
type Violation struct {
	Field string // as on the wire; nested fields joined by a dot, "info.hostname"
	Code  string // "required", "blank", "max_length", "invalid_choice", "invalid" or "null_characters_not_allowed"
	Text  string // for a person
}

// Error makes a Violation an error: "info.hostname: This field may not be blank."
func (v Violation) Error() string { return v.Field + ": " + v.Text }

// Platform is the operating system family of a phone.
type Platform string

// The platforms of the contract.
const (
	IOS     Platform = "ios"
	Android Platform = "android"
	Other   Platform = "other"
)

// Enum lists the values of Platform for the API document.
func (Platform) Enum() []string { return []string{string(IOS), string(Android), string(Other)} }

// SchemaName is the component's name in the API document.
func (Platform) SchemaName() string { return "PlatformEnum" }

// Info is what a phone says of itself when it enrols and when it checks in. All six are required;
// the texts are 1 to [MaxText] characters, Others is an object of at most [MaxOthersBytes].
type Info struct {
	Platform   Platform       `json:"platform" api:"required"`
	OSVersion  string         `json:"os_version" api:"required"`
	Model      string         `json:"model" api:"required"`
	Hostname   string         `json:"hostname" api:"required"`
	AppVersion string         `json:"app_version" api:"required"`
	Others     map[string]any `json:"others" api:"required"`
}

// SchemaName is the component's name in the API document.
func (Info) SchemaName() string { return "MobileDeviceInfo" }

// Validate returns what is wrong with i, nil if nothing is.
func (i Info) Validate() []Violation {
	var v violations
	v.choice("platform", string(i.Platform), i.Platform.Enum())
	v.text("os_version", i.OSVersion, MaxText)
	v.text("model", i.Model, MaxText)
	v.text("hostname", i.Hostname, MaxText)
	v.text("app_version", i.AppVersion, MaxText)
	if i.Others == nil {
		v.add("others", "required", "This field is required.")
	} else if text, err := json.Marshal(i.Others); err != nil {
		v.add("others", "invalid", "Value must be valid JSON.")
	} else if len(text) > MaxOthersBytes {
		v.add("others", "max_length", "Ensure this field has no more than "+strconv.Itoa(MaxOthersBytes)+" bytes.")
	}
	return v
}

// capability is the key in Info.Others under which our own phones say what they can do.
const capability = "countersign"

// CanFetch reports whether the phone says that it can fetch its prompts, by
// others["countersign"] = {"fetch": true, "v": 1}. Later versions count as well.
func (i Info) CanFetch() bool {
	marker, ok := i.Others[capability].(map[string]any)
	if !ok {
		return false
	}
	fetch, _ := marker["fetch"].(bool)
	var version float64
	switch n := marker["v"].(type) {
	case float64:
		version = n
	case int:
		version = float64(n)
	case json.Number:
		version, _ = n.Float64()
	}
	return fetch && version >= 1
}

// WithFetch returns a copy of i that carries the marker which [Info.CanFetch] looks for.
func (i Info) WithFetch() Info {
	others := make(map[string]any, len(i.Others)+1)
	for k, v := range i.Others {
		others[k] = v
	}
	others[capability] = map[string]any{"fetch": true, "v": 1}
	i.Others = others
	return i
}

// WithTransactions returns a copy of i, which has the marker of [Info.WithFetch], that says that the phone shows transactions too:
// others["countersign"]["transactions"] = true. Others are not asked to approve any.
func (i Info) WithTransactions() Info {
	i = i.WithFetch()
	if marker, ok := i.Others[capability].(map[string]any); ok {
		marker["transactions"] = true
	}
	return i
}

type violations []Violation

func (v *violations) add(field, code, text string) {
	*v = append(*v, Violation{Field: field, Code: code, Text: text})
}

func (v *violations) text(field, s string, limit int) {
	switch {
	case s == "":
		v.add(field, "blank", "This field may not be blank.")
	case !utf8.ValidString(s):
		v.add(field, "invalid", "Not a valid string.")
	case utf8.RuneCountInString(s) > limit:
		v.add(field, "max_length", "Ensure this field has no more than "+strconv.Itoa(limit)+" characters.")
	}
	for _, r := range s {
		if r == 0 { // PostgreSQL text cannot hold it
			v.add(field, "null_characters_not_allowed", "Null characters are not allowed.")
			return
		}
	}
}

func (v *violations) choice(field, s string, among []string) {
	if s == "" {
		v.add(field, "required", "This field is required.")
		return
	}
	for _, one := range among {
		if s == one {
			return
		}
	}
	v.add(field, "invalid_choice", strconv.Quote(s)+" is not a valid choice.")
}

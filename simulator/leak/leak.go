// Package leak knows what may be in a push, for the doubles of push services: an allow-list, so that what nobody thought of is
// a leak too (push.md T13).
package leak

import (
	"maps"
	"slices"
	"strings"

	"countersign/mobile/wire"
)

// allowed are the keys of a push's data: a wake-up has three, a challenge for stock phones all.
var allowed = map[wire.Kind][]string{
	wire.Wake:      {"kind", "tx_id", "v"},
	wire.Challenge: {"items", "kind", "mode", "tx_id", "v"},
}

// In says what of a message must not be in a push: data beside the allowed keys, or that does not read as what it claims to
// be, and any of the forbidden texts, whatever their case, anywhere in it. shown are title and body.
func In(data map[string]string, shown, forbidden []string) []string {
	var out []string
	push, err := wire.ParsePush(data)
	if err != nil {
		out = append(out, "data: "+err.Error())
	}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if err == nil && !slices.Contains(allowed[push.Kind], key) {
			out = append(out, "data: "+key+" is not allowed")
		}
	}
	all := append(slices.Collect(maps.Values(data)), shown...)
	for _, text := range forbidden {
		if text != "" && slices.ContainsFunc(all, func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(text)) }) {
			out = append(out, "forbidden: "+text)
		}
	}
	return out
}

package inbox

import (
	"maps"
	"slices"
	"strings"

	"countersign/mobile/wire"
	"countersign/simulator/fcm"
)

// allowed are the keys of a push's data: a wake-up has the first three, a challenge for stock phones all.
var allowed = map[wire.Kind][]string{
	wire.Wake:      {"kind", "tx_id", "v"},
	wire.Challenge: {"items", "kind", "mode", "tx_id", "v"},
}

// Forbid names texts that must not be in any message: names of users, numbers, secrets.
func (b *Box) Forbid(texts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forbidden = append(b.forbidden, texts...)
}

// Leaks says what of a message must not be in a push (T13): data beside the allowed keys, or that does not read as what it
// claims to be, and forbidden texts anywhere.
func (b *Box) Leaks(m fcm.Message) []string {
	var out []string
	push, err := wire.ParsePush(m.Data)
	if err != nil {
		out = append(out, "data: "+err.Error())
	}
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		if err == nil && !slices.Contains(allowed[push.Kind], key) {
			out = append(out, "data: "+key+" is not allowed")
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.forbidden {
		for _, where := range append(slices.Collect(maps.Values(m.Data)), m.Title, m.Body) {
			if text != "" && strings.Contains(strings.ToLower(where), strings.ToLower(text)) {
				out = append(out, "forbidden: "+text)
				break
			}
		}
	}
	return out
}

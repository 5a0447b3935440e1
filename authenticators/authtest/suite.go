package authtest

import (
	"encoding/json"
	"testing"
	"time"

	"countersign/authenticators"
	"countersign/core/resource"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// Subject is a kind, made for one bench.
type Subject struct {
	Kind     *authenticators.Kind
	Stages   []*flows.Kind // the set-up stage first, then what it needs
	Settings any           // of the set-up stage
	// Enrol walks the set-up stage from its first page on, until it has passed.
	Enrol func(t testing.TB, br *flowtest.Browser, page flowtest.Page) Device

	NameLength int // of a device, at the most, in characters; default 64

	Path  string                   // of the devices in the API: "/authenticators/totp/"; "" leaves the API out
	Mount func(*resource.Registry) // adds them
}

// Device is a person's side of one enrolled device.
type Device struct {
	// Right makes an answer that is right now and was not given before. page is the validation stage with the device chosen.
	Right func(t testing.TB, page flowtest.Page) map[string]any
	// Wrong makes one of the same form that is not right; nil: this kind has none.
	Wrong func(t testing.TB) map[string]any
	// Secrets are what must be readable nowhere in the database.
	Secrets []string
}

// Suite says which kind to try and how.
type Suite struct {
	New func(t testing.TB, b *flowtest.Bench) Subject

	// Malformed are JSON values of the kind's field that no device of it gives.
	Malformed []string
	// Once says that the text of an answer is right once: sent again it is refused, sent several times at once it passes once.
	Once bool
	// Guarded says that wrong answers make the kind refuse the next ones for a while, with the code "throttled".
	Guarded bool
	// Shared says that a user's devices are asked one question together, which any of them answers.
	Shared bool
	// Sent says that an answer is made by choosing the device, so that choice and answer cannot come together.
	Sent bool
	// Moves says whether an answer is still taken when it comes some time after it was made, or before.
	Moves map[time.Duration]bool
}

// Kind runs the suite.
func Kind(t *testing.T, s Suite) {
	t.Helper()
	for _, sub := range []struct {
		name string
		run  func(*testing.T, Suite)
		skip bool
	}{
		{"enrol", enrol, false},
		{"enrol nobody", enrolNobody, false},
		{"enrol twice", enrolTwice, false},
		{"enrol unproved", enrolUnproved, false},
		{"enrol within a login", enrolWithin, false},
		{"verify", verify, false},
		{"wrong", wrong, false},
		{"malformed", malformed, len(s.Malformed) == 0},
		{"replay", replay, !s.Once},
		{"time", moves, len(s.Moves) == 0},
		{"wrong user", wrongUser, false},
		{"throttle", throttled, !s.Guarded},
		{"throttle by place", throttledElsewhere, !s.Guarded},
		{"delete", remove, false},
		{"two at once", atOnce, !s.Once},
		{"guesses at once", guessesAtOnce, !s.Guarded},
		{"dump", dump, false},
		{"api", deviceAPI, false},
	} {
		if sub.skip {
			continue
		}
		t.Run(sub.name, func(t *testing.T) {
			t.Parallel()
			sub.run(t, s)
		})
	}
}

// malformedBase are refused by every kind with a field of text.
var malformedBase = []string{
	`"\u0000"`, `"\ud800"`, `{}`, `[]`, `true`, `-1`, `1e9`, `1.5`, `99999999999999999999`, `"'; DROP TABLE users; --"`, `"\u202e123456"`,
}

// Text gives values of a JSON string that are hardly a code: for Suite.Malformed of a kind with typed codes.
func Text() []string {
	long := make([]byte, 10_000)
	for i := range long {
		long[i] = '1'
	}
	quoted, err := json.Marshal(string(long))
	if err != nil {
		panic(err) // digits
	}
	return append([]string{
		`""`, `" "`, `"\u00a0"`, `"abcdef\u00e9"`, `"１２３４５６"`, `"١٢٣٤٥٦"`, `"12345６"`, `"0x1234"`, `"+123456"`, `"12e4"`, string(quoted),
	}, malformedBase...)
}

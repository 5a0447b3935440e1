package word_test

import (
	"testing"

	"countersign/simulator/word"
)

func TestUnknown(t *testing.T) {
	t.Parallel()
	known := []string{"rate", "until", "count"}
	for given, want := range map[string]string{
		"raet":   `unknown field "raet", did you mean rate?`,
		"Until":  `unknown field "Until", did you mean until?`,
		"banana": `unknown field "banana"; known are count, rate, until`,
	} {
		if got := word.Unknown("field", given, known).Error(); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
	if got := word.Unknown("field", "x", nil).Error(); got != `unknown field "x"` {
		t.Error(got)
	}
}

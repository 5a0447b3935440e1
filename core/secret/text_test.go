package secret_test

import (
	"errors"
	"strings"
	"testing"

	"countersign/core/secret"
)

func TestSealedText(t *testing.T) {
	t.Parallel()
	before, after := keeper(t, oldKey), keeper(t, newKey, oldKey)
	for _, plain := range []string{"", "x", "sealed:not", strings.Repeat("ä", 500)} {
		sealed := before.SealText(plain, "stages.auth:1")
		if len(plain) > 4 && strings.Contains(sealed, plain) {
			t.Errorf("%q is readable in %q", plain, sealed)
		}
		if got, err := after.OpenText(sealed, "stages.auth:1"); err != nil || got != plain {
			t.Errorf("OpenText = %q, %v; want %q", got, err, plain)
		}
		if plain == "" {
			continue
		}
		if got, err := after.OpenText(sealed, "stages.auth:2"); !errors.Is(err, secret.ErrTampered) || got == plain {
			t.Errorf("opened in another place: %q, %v", got, err)
		}
		if !before.CurrentText(sealed) || after.CurrentText(sealed) {
			t.Error("CurrentText does not tell the keys apart")
		}
	}
	if got, err := after.OpenText("never sealed", "a"); err != nil || got != "never sealed" || after.CurrentText("never sealed") {
		t.Errorf("a text that was never sealed: %q, %v", got, err)
	}
	if _, err := after.OpenText("sealed:!", "a"); !errors.Is(err, secret.ErrTampered) {
		t.Errorf("not base64: %v", err)
	}
}

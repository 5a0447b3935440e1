package wire

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
)

func TestCode(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"7KQ2-M9XW-4C": "7KQ2M9XW4C", " 7kq2 m9xw4c\n": "7KQ2M9XW4C", "oil0-Oil0-01": "0110011001", "7KQ2‑M9XW–4C": "7KQ2M9XW4C",
		"": "", "9KQ2-M9XW-4": "", "9KQ2-M9XW-4CC": "", "9KQ2-M9XW-4U": "", "9KQ2-M9XW-4é": "", "9KQ2_M9XW_4C": "",
	} {
		code, err := ParseCode(text)
		if code != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", text, code, err)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q is in %q", text, err)
		}
	}
	code, err := NewCode(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseCode(ShowCode(code)); err != nil || again != code {
		t.Errorf("%q: %q %v", code, again, err)
	}
	if _, err := NewCode(bytes.NewReader(nil)); err == nil {
		t.Error("a code without randomness")
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	link := Link("https://login.example:8443/", "7KQ2M9XW4C")
	if link != "https://login.example:8443/if/phone/#7KQ2-M9XW-4C" {
		t.Error(link)
	}
	if server, code, err := ParseLink(link); server != "https://login.example:8443/" || code != "7KQ2M9XW4C" || err != nil {
		t.Errorf("%s %s %v", server, code, err)
	}
	for _, bad := range []string{
		"", "7KQ2-M9XW-4C", "https://login.example/if/phone/", "https://login.example/#7KQ2-M9XW-4C", "javascript:/if/phone/#7KQ2-M9XW-4C",
		"https://u@login.example/if/phone/#7KQ2-M9XW-4C", "https://login.example/if/phone/?x#7KQ2-M9XW-4C", "https:///if/phone/#7KQ2-M9XW-4C",
	} {
		if _, _, err := ParseLink(bad); err == nil {
			t.Errorf("%q is taken for a link", bad)
		}
	}
}

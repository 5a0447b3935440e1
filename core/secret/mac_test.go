package secret_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"countersign/core/secret"
)

func TestMAC(t *testing.T) {
	t.Parallel()
	before, both, after := keeper(t, oldKey).MAC("numbers"), keeper(t, newKey, oldKey).MAC("numbers"), keeper(t, newKey).MAC("numbers")
	id, number := []byte("0123456789abcdef"), []byte("+447700900123")
	old, anew := before.Sum(id, number), both.Sum(id, number)
	want := hmac.New(sha256.New, keeper(t, oldKey).Derive("numbers"))
	want.Write(append(bytes.Clone(id), number...))
	if len(old) != secret.SumSize || !bytes.Equal(old[4:], want.Sum(nil)) {
		t.Errorf("the sum is %x", old)
	}
	if bytes.Equal(old, anew) || !bytes.Equal(anew, after.Sum(id, number)) {
		t.Error("not the first key makes sums")
	}
	if sums := both.Sums(id, number); len(sums) != 2 || !bytes.Equal(sums[0], anew) || !bytes.Equal(sums[1], old) {
		t.Errorf("the sums are %x", sums)
	}
	for name, c := range map[string]struct {
		mac                    *secret.MAC
		sum                    []byte
		verify, known, current bool
	}{
		"old before":       {before, old, true, true, true},
		"old with both":    {both, old, true, true, false},
		"old after":        {after, old, false, false, false},
		"new before":       {before, anew, false, false, false},
		"new with both":    {both, anew, true, true, true},
		"other purpose":    {keeper(t, newKey).MAC("codes"), anew, false, true, true},
		"without an id":    {both, old[4:], false, false, false},
		"nothing":          {both, nil, false, false, false},
		"id of the other":  {both, append(bytes.Clone(anew[:4]), old[4:]...), false, true, true},
		"cut":              {both, anew[:35], false, false, false},
		"of another value": {both, both.Sum(id, []byte("+447700900124")), false, true, true},
	} {
		if c.mac.Verify(c.sum, id, number) != c.verify || c.mac.Known(c.sum) != c.known || c.mac.Current(c.sum) != c.current {
			t.Errorf("%s: verified %v, known %v, current %v", name, c.mac.Verify(c.sum, id, number), c.mac.Known(c.sum), c.mac.Current(c.sum))
		}
	}
}

func TestColumn(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]secret.Column{
		"tokens.key:1:x":           {Table: "tokens", Name: "key_sealed"},
		"stages.settings.auth:1:x": {Table: "stages", Name: "settings", Field: "auth"},
	} {
		if got := c.AAD(1, "x"); got != want {
			t.Errorf("associated data %q, want %q", got, want)
		}
	}
}

package secret

import (
	"encoding/base64"
	"strings"
)

// textMark begins a sealed text, so that it is told from one that was never sealed.
const textMark = "sealed:"

// SealText is Seal for a secret that lives in a text, as one among an object's settings. "" stays "".
func (k *Keeper) SealText(plain, aad string) string {
	if plain == "" {
		return ""
	}
	return textMark + base64.RawURLEncoding.EncodeToString(k.Seal([]byte(plain), aad))
}

// OpenText opens what SealText made, with the errors of Open. A text without the mark was never sealed, a row written
// by hand say, and is given back as it is.
func (k *Keeper) OpenText(text, aad string) (string, error) {
	sealed, ok, err := decodeText(text)
	if !ok || err != nil {
		return text, err
	}
	plain, err := k.Open(sealed, aad)
	if err != nil {
		return "", err
	}
	return string(plain), nil
}

// CurrentText is Current for a text: false for one that is to be sealed anew, or for the first time.
func (k *Keeper) CurrentText(text string) bool {
	if text == "" {
		return true
	}
	sealed, ok, err := decodeText(text)
	return ok && err == nil && k.Current(sealed)
}

func decodeText(text string) (sealed []byte, marked bool, err error) {
	encoded, marked := strings.CutPrefix(text, textMark)
	if !marked {
		return nil, false, nil
	}
	if sealed, err = base64.RawURLEncoding.DecodeString(encoded); err != nil {
		return nil, true, ErrTampered
	}
	return sealed, true, nil
}

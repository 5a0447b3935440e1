package wire

import (
	"errors"
	"io"
	"net/url"
	"strings"
)

// A code stands for an enrolment [Payload] where that is too long: in a link, and where a person types it. It is
// [CodeLength] symbols of Crockford's base 32, 50 bits, and is exchanged once for the payload at [RedeemPath].
const (
	CodeLength = 10
	RedeemPath = "api/v3/authenticators/mobile/redeem/" // below the server's base URL

	phonePath    = "if/phone/"
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// Redeem is the body of redeem: a code in any spelling that [ParseCode] takes. The reply is a [Payload].
type Redeem struct {
	Code string `json:"code" api:"required"`
}

// SchemaName is the component's name in the API document.
func (Redeem) SchemaName() string { return "MobileDeviceRedeem" }

// NewCode draws a code, as [ParseCode] gives it.
func NewCode(random io.Reader) (string, error) {
	raw := make([]byte, CodeLength)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", err
	}
	for i, b := range raw {
		raw[i] = codeAlphabet[b%32]
	}
	return string(raw), nil
}

// ParseCode reads a code as people type it: in either case, with or without spaces and hyphens, i and l for 1 and o for 0. It
// gives the symbols alone. The error never contains the code.
func ParseCode(text string) (string, error) {
	var b strings.Builder
	for _, r := range strings.ToUpper(text) {
		switch r {
		case ' ', '-', '\t', '\n', '\r', '\u00a0', '\u2010', '\u2011', '\u2013':
			continue
		case 'I', 'L':
			r = '1'
		case 'O':
			r = '0'
		}
		if b.Len() == CodeLength || !strings.ContainsRune(codeAlphabet, r) {
			return "", errCode
		}
		b.WriteRune(r)
	}
	if b.Len() != CodeLength {
		return "", errCode
	}
	return b.String(), nil
}

var errCode = errors.New("a code has ten letters and digits, as in 7KQ2-M9XW-4C")

// ShowCode writes the symbols of a code in groups: 7KQ2-M9XW-4C.
func ShowCode(code string) string {
	if len(code) != CodeLength {
		return code
	}
	return code[:4] + "-" + code[4:8] + "-" + code[8:]
}

// Link is the address that a phone's camera opens: the page of phones at a server, which is named by its base URL with a
// trailing slash. The code is in the fragment, which browsers send to nobody.
func Link(server, code string) string { return server + phonePath + "#" + ShowCode(code) }

// ParseLink takes a link apart: the server's base URL, and the code's symbols.
func ParseLink(text string) (server, code string, err error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || !strings.HasSuffix(u.Path, "/"+phonePath) {
		return "", "", errors.New("not an enrolment link")
	}
	if code, err = ParseCode(u.Fragment); err != nil {
		return "", "", err
	}
	u.Fragment, u.RawFragment = "", ""
	return strings.TrimSuffix(u.String(), phonePath), code, nil
}

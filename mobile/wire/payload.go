package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	maxPayload = 2 << 10 // bytes; a QR code of byte mode ends at 2953
	maxToken   = 256
)

// Payload is the text of the enrolment QR code, as JSON. It is a secret: whoever reads it first may
// enrol a phone.
type Payload struct {
	URL    string `json:"u"` // absolute base URL of the server, with a trailing slash
	Device string `json:"s"` // UUID of the device being enrolled
	Token  string `json:"t"` // enrolment token
}

// ParsePayload reads a scanned or pasted payload of at most 2 KiB. The base URL must be http or
// https and carry no user, query or fragment; a missing trailing slash is added. Unknown keys are
// left for later versions. Errors never contain the token.
func ParsePayload(text []byte) (Payload, error) {
	if len(text) > maxPayload {
		return Payload{}, fmt.Errorf("enrolment payload: more than %d bytes", maxPayload)
	}
	var p Payload
	if err := json.Unmarshal(text, &p); err != nil {
		return Payload{}, errors.New("enrolment payload: not the JSON object of a countersign QR code")
	}
	u, err := url.Parse(p.URL)
	switch {
	case p.URL == "":
		return Payload{}, errors.New("enrolment payload: no server address (u)")
	case err != nil:
		return Payload{}, errors.New("enrolment payload: the server address (u) is not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Hostname() == "", u.Opaque != "":
		return Payload{}, errors.New("enrolment payload: the server address (u) is not an absolute http or https URL")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, strings.Contains(p.URL, "#"):
		return Payload{}, errors.New("enrolment payload: the server address (u) carries a user, query or fragment")
	case !IsUUID(p.Device):
		return Payload{}, errors.New("enrolment payload: the device (s) is not a UUID")
	case !isToken(p.Token):
		return Payload{}, errors.New("enrolment payload: the token (t) is missing or malformed")
	}
	if !strings.HasSuffix(p.URL, "/") {
		p.URL += "/"
	}
	return p, nil
}

// isToken admits what may stand in an Authorization header unquoted (RFC 6750 §2.1, b64token).
func isToken(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return true
}

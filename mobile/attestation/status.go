package attestation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// The bounds of a list of revoked certificates. Google's has some thousands of entries.
const (
	MaxStatusBytes   = 16 << 20
	maxStatusEntries = 200_000
)

// Revoked says of certificates, by their serial numbers, why their keys are trusted no more.
type Revoked map[string]string

var hexadecimal = regexp.MustCompile(`^[0-9a-fA-F]{1,64}$`)

// ParseStatus reads a list in the form of Google's, {"entries": {"<serial>": {"status": …, "reason": …}}}. Each entry counts,
// whatever its status: there are only bad ones. Errors: another form, more than 16 MiB, more than 200,000 entries.
func ParseStatus(r io.Reader) (Revoked, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxStatusBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read status list: %w", err)
	case len(text) > MaxStatusBytes:
		return nil, fmt.Errorf("read status list: it is larger than %d bytes", MaxStatusBytes)
	}
	var list struct {
		Entries map[string]struct {
			Status string `json:"status"`
			Reason string `json:"reason"`
		} `json:"entries"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("read status list: %w", err)
	}
	switch {
	case list.Entries == nil:
		return nil, errors.New("read status list: it has no entries, not even an empty list of them")
	case len(list.Entries) > maxStatusEntries:
		return nil, fmt.Errorf("read status list: it has more than %d entries", maxStatusEntries)
	}
	out := make(Revoked, len(list.Entries))
	for number, e := range list.Entries {
		if !hexadecimal.MatchString(number) {
			return nil, fmt.Errorf("read status list: %q is no serial number", number)
		}
		why := e.Status
		if e.Reason != "" {
			why += ": " + e.Reason
		}
		out[serial(number)] = why
	}
	return out, nil
}

// RevokedError is the refusal of evidence one of whose certificates is on the list.
func RevokedError(why string) *Refusal {
	return refuse("revoked", "The maker of this phone has withdrawn the trust in its keys.", errors.New(why))
}

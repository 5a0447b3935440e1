package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Mode says how a person carries the decision from the browser to the phone.
type Mode string

// The modes of the contract. With AcceptDeny the items are "accept" and "deny"; with the others
// they are three distinct numbers of 2 or 3 digits, of which the browser shows the right one.
const (
	AcceptDeny      Mode = "accept_deny"
	NumberMatching2 Mode = "number_matching_2"
	NumberMatching3 Mode = "number_matching_3"
)

// Enum lists the values of Mode for the API document.
func (Mode) Enum() []string {
	return []string{string(AcceptDeny), string(NumberMatching2), string(NumberMatching3)}
}

// SchemaName is the component's name in the API document.
func (Mode) SchemaName() string { return "ItemMatchingModeEnum" }

// Digits is the length of a number in this mode, 0 where there are none.
func (m Mode) Digits() int {
	switch m {
	case NumberMatching2:
		return 2
	case NumberMatching3:
		return 3
	}
	return 0
}

// Valid reports whether m is a mode of the contract.
func (m Mode) Valid() bool { return m == AcceptDeny || m.Digits() > 0 }

// The items of AcceptDeny. ItemDeny is an answer in every mode: "no, it was not me".
const (
	ItemAccept = "accept"
	ItemDeny   = "deny"
)

// Numbers is the count of items in the number matching modes.
const Numbers = 3

// Context is what the phone shows beside the question, so that the person can tell their own login
// from a stranger's. Every text may be empty where the server does not know.
type Context struct {
	Application string    `json:"application"` // the application, or the flow's title
	Host        string    `json:"host"`        // the host name under which the browser reached the server
	IP          string    `json:"ip"`          // the browser's address
	Browser     string    `json:"browser"`
	OS          string    `json:"os"`
	Time        time.Time `json:"time"` // when the login asked
}

// Prompt is one pending question.
type Prompt struct {
	TxID    string    `json:"tx_id" api:"format=uuid"`
	Mode    Mode      `json:"mode"`
	Items   []string  `json:"items"`
	Context Context   `json:"context"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`

	// Challenge is the same signed by the server, for a phone that signs; see [Key.CheckPrompt].
	Challenge string `json:"challenge,omitempty"`
}

// Pending is the reply to GET …/pending/: what waits for this phone's answer, oldest first. Today
// it holds at most one.
type Pending struct {
	Pending []Prompt `json:"pending"`
}

const maxPending = 64 << 10 // bytes

// ParsePending reads the reply to GET …/pending/, of at most 64 KiB, and refuses a prompt that
// could not be shown or answered.
func ParsePending(text []byte) (Pending, error) {
	if len(text) > maxPending {
		return Pending{}, fmt.Errorf("pending prompts: more than %d bytes", maxPending)
	}
	var p Pending
	if err := json.Unmarshal(text, &p); err != nil {
		return Pending{}, fmt.Errorf("pending prompts: %w", err)
	}
	for _, one := range p.Pending {
		if err := one.check(); err != nil {
			return Pending{}, fmt.Errorf("pending prompts: %w", err)
		}
	}
	return p, nil
}

func (p Prompt) check() error {
	if !IsUUID(p.TxID) {
		return errors.New("tx_id is not a UUID")
	}
	if p.Expires.IsZero() {
		return errors.New("no expiry")
	}
	return checkItems(p.Mode, p.Items)
}

// checkItems holds the rules of a mode: the right number of distinct items of the right form.
func checkItems(m Mode, items []string) error {
	if !m.Valid() {
		return errors.New("unknown mode")
	}
	if m == AcceptDeny {
		if len(items) != 2 || items[0] != ItemAccept || items[1] != ItemDeny {
			return errors.New("items do not fit the mode")
		}
		return nil
	}
	if len(items) != Numbers {
		return errors.New("items do not fit the mode")
	}
	seen := make(map[string]bool, Numbers)
	for _, item := range items {
		if len(item) != m.Digits() || !digits(item) || seen[item] {
			return errors.New("items do not fit the mode")
		}
		seen[item] = true
	}
	return nil
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

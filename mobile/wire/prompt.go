package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Mode says how a person carries the decision between the browser and the phone.
type Mode string

// The modes of the contract. With AcceptDeny the items are "accept" and "deny"; with the others
// they are three distinct numbers of 2 or 3 digits, of which the browser shows the right one.
const (
	AcceptDeny      Mode = "accept_deny"
	NumberMatching2 Mode = "number_matching_2"
	NumberMatching3 Mode = "number_matching_3"
)

// The modes in which nothing is to be picked. With a typed one there are no items: the browser shows a number of 2, 3 or 6
// digits, which the person types on the phone. With CodeShown6 there is one item, a code of 6 digits that the phone shows:
// the person approves there, and types it in the browser.
const (
	NumberTyped2 Mode = "number_typed_2"
	NumberTyped3 Mode = "number_typed_3"
	NumberTyped6 Mode = "number_typed_6"
	CodeShown6   Mode = "code_shown_6"
)

// Modes lists all modes, those of the contract first.
func Modes() []Mode {
	return []Mode{AcceptDeny, NumberMatching2, NumberMatching3, NumberTyped2, NumberTyped3, NumberTyped6, CodeShown6}
}

// Enum lists the values of the contract for the API document.
func (Mode) Enum() []string {
	return []string{string(AcceptDeny), string(NumberMatching2), string(NumberMatching3)}
}

// SchemaName is the component's name in the API document.
func (Mode) SchemaName() string { return "ItemMatchingModeEnum" }

// Digits is the length of a number or code in this mode, 0 where there are none.
func (m Mode) Digits() int {
	switch m {
	case NumberMatching2, NumberTyped2:
		return 2
	case NumberMatching3, NumberTyped3:
		return 3
	case NumberTyped6, CodeShown6:
		return 6
	}
	return 0
}

// Picks tells whether the person picks one of several items.
func (m Mode) Picks() bool { return m == AcceptDeny || m == NumberMatching2 || m == NumberMatching3 }

// Types tells whether the person types on the phone what the browser shows.
func (m Mode) Types() bool { return m == NumberTyped2 || m == NumberTyped3 || m == NumberTyped6 }

// Shows tells whether the person types in the browser what the phone shows.
func (m Mode) Shows() bool { return m == CodeShown6 }

// Valid reports whether m is a mode.
func (m Mode) Valid() bool { return m.Picks() || m.Types() || m.Shows() }

// Fits reports whether text has the form of what is typed in this mode: its number of digits.
func (m Mode) Fits(text string) bool {
	return m.Digits() > 0 && len(text) == m.Digits() && digits(text)
}

// The items of AcceptDeny. ItemDeny is an answer in every mode: "no, it was not me".
const (
	ItemAccept = "accept"
	ItemDeny   = "deny"
)

// Numbers is the count of items where one of several numbers is picked.
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
	TxID    string   `json:"tx_id" api:"format=uuid"`
	Mode    Mode     `json:"mode" api:"enum=accept_deny number_matching_2 number_matching_3 number_typed_2 number_typed_3 number_typed_6 code_shown_6"`
	Items   []string `json:"items"` // to pick from; none where the person types; the code to show
	Context Context  `json:"context"`
	// Transaction is what is to be approved; nil for a login. Only phones that sign are asked it.
	Transaction *Transaction `json:"transaction,omitempty"`
	Created     time.Time    `json:"created"`
	Expires     time.Time    `json:"expires"`

	// Challenge is the same signed by the server, for a phone that signs; see [Key.CheckPrompt].
	Challenge string `json:"challenge,omitempty"`

	// Approved says that this phone has approved already, and the browser waits for the code: a phone that was restarted shows
	// it, and does not ask again. It is not signed, and decides nothing.
	Approved bool `json:"approved,omitempty"`
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
	if p.Transaction != nil {
		if v := p.Transaction.Validate(); v != nil {
			return fmt.Errorf("transaction: %s: %s", v[0].Field, v[0].Text)
		}
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
	count := Numbers
	switch {
	case m.Types():
		count = 0
	case m.Shows():
		count = 1
	}
	if len(items) != count {
		return errors.New("items do not fit the mode")
	}
	seen := make(map[string]bool, count)
	for _, item := range items {
		if !m.Fits(item) || seen[item] {
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

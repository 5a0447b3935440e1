package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Kind says what a push asks of the phone.
type Kind string

// The kinds of push.
const (
	Wake      Kind = "wake"      // fetch the pending prompts
	Challenge Kind = "challenge" // show the items that the push carries: for stock phones, and where one is picked
)

// pushVersion is the version of the data written here. A phone refuses a later one.
const pushVersion = "1"

const maxItemsBytes = 1 << 10 // of the items' JSON text; three numbers need 21

// Push is the data of a push message.
type Push struct {
	Kind  Kind
	TxID  string   // the prompt's UUID
	Items []string // Challenge only
	Mode  Mode     // Challenge only
}

// Data is p as the string map of a push message: {"v","kind","tx_id"} for Wake, and with "items"
// (a JSON array as text) and "mode" for Challenge.
func (p Push) Data() map[string]string {
	data := map[string]string{"v": pushVersion, "kind": string(p.Kind), "tx_id": p.TxID}
	if p.Kind == Challenge {
		items, err := json.Marshal(p.Items)
		if err != nil {
			panic(err) // a []string always has a JSON form
		}
		data["items"], data["mode"] = string(items), string(p.Mode)
	}
	return data
}

// ParsePush reads the data of a push message. Keys it does not know are left for later versions; a
// later version, an unknown kind and items that do not fit the mode are errors.
func ParsePush(data map[string]string) (Push, error) {
	if data["v"] != pushVersion {
		return Push{}, errors.New("push: unknown version")
	}
	p := Push{Kind: Kind(data["kind"]), TxID: data["tx_id"]}
	if !IsUUID(p.TxID) {
		return Push{}, errors.New("push: tx_id is not a UUID")
	}
	switch p.Kind {
	case Wake:
		return p, nil
	case Challenge:
		if len(data["items"]) > maxItemsBytes {
			return Push{}, errors.New("push: too many items")
		}
		if err := json.Unmarshal([]byte(data["items"]), &p.Items); err != nil {
			return Push{}, fmt.Errorf("push: items: %w", err)
		}
		p.Mode = Mode(data["mode"])
		if !p.Mode.Picks() { // what is typed comes by no push
			return Push{}, errors.New("push: not a mode that a push can ask in")
		}
		if err := checkItems(p.Mode, p.Items); err != nil {
			return Push{}, fmt.Errorf("push: %w", err)
		}
		return p, nil
	default:
		return Push{}, errors.New("push: unknown kind")
	}
}

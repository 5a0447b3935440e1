package webauthn

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"countersign/core/fault"
)

// model is what is known of the make of one device.
type model struct {
	AAGUID      uuid.UUID
	Description string // "" for one that is not known
	Attests     bool   // a device of the make can prove it
	Attested    bool   // this one did
}

func (m model) known() bool { return m.AAGUID != uuid.Nil && m.Description != "" }

// refusal is why a device may not be used where only some makes may; "" if it may. No allowed makes are all makes.
func (m model) refusal(allowed []uuid.UUID) string {
	switch {
	case len(allowed) == 0:
		return ""
	case !m.known():
		if slices.Contains(allowed, uuid.Nil) {
			return ""
		}
		return "This server does not know which make it is."
	case !slices.Contains(allowed, m.AAGUID):
		return fmt.Sprintf("%s is not one of the makes that are allowed here.", m.Description)
	case m.Attests && !m.Attested:
		return fmt.Sprintf("It says that it is %s, but did not prove it.", m.Description)
	}
	return ""
}

// restricted are the errors for a device that may not be used: the contract's text on the field, and why beside it.
func restricted(field, brand, why string) fault.Fields {
	return fault.Fields{
		field:          {{Code: "invalid", Text: fmt.Sprintf("Invalid device type. Contact your %s administrator for help.", brand)}},
		fault.NonField: {{Code: "device_type", Text: why}},
	}
}

package validate

import (
	"github.com/google/uuid"

	"countersign/flows"
)

// Component is the name of the challenge.
const Component = "ak-stage-authenticator-validate"

// Challenge offers the user's devices, or the stages that set one up.
type Challenge struct {
	flows.WithUser
	DeviceChallenges    []DeviceChallenge `json:"device_challenges" api:"required"`
	ConfigurationStages []SelectableStage `json:"configuration_stages" api:"required"`
}

// SchemaName is the component's name.
func (Challenge) SchemaName() string { return "AuthenticatorValidationChallenge" }

// DeviceChallenge is what one device, or all of a class, is asked.
type DeviceChallenge struct {
	DeviceClass string         `json:"device_class" api:"required"`
	DeviceUID   string         `json:"device_uid" api:"required"`
	Challenge   map[string]any `json:"challenge" api:"required"`
}

// SelectableStage is a stage that the user may choose to set a device up.
type SelectableStage struct {
	PK            uuid.UUID `json:"pk" api:"required"`
	Name          string    `json:"name" api:"required"`
	VerboseName   string    `json:"verbose_name" api:"required"`
	MetaModelName string    `json:"meta_model_name" api:"required"`
}

// Response is the answer: a choice, a factor, or both at once.
type Response struct {
	Component         string           `json:"component" api:"default=ak-stage-authenticator-validate"`
	SelectedChallenge *DeviceChallenge `json:"selected_challenge,omitempty"`
	SelectedStage     string           `json:"selected_stage,omitempty"`
	Code              string           `json:"code,omitempty"`
	WebAuthn          map[string]any   `json:"webauthn,omitempty"`
	Duo               int              `json:"duo,omitempty"`
	Mobile            string           `json:"mobile,omitempty"`
}

// SchemaName is the component's name.
func (Response) SchemaName() string { return "AuthenticatorValidationChallengeResponse" }

// factors are the kinds' own fields, in the order in which they are processed (core.md §3.3).
var factors = [...]string{"code", "webauthn", "duo", "mobile"}

func factorsOf(answer flows.Answer) flows.Answer {
	out := flows.Answer{}
	for _, f := range factors {
		if v, ok := answer[f]; ok && string(v) != "null" {
			out[f] = v
		}
	}
	return out
}

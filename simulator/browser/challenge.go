package browser

import "encoding/json"

// The components that a browser must know.
const (
	identification = "ak-stage-identification"
	password       = "ak-stage-password"
	validate       = "ak-stage-authenticator-validate"
	mobileSetup    = "ak-stage-authenticator-mobile"
	userLogin      = "ak-stage-user-login"
	redirect       = "xak-flow-redirect"
	accessDenied   = "ak-stage-access-denied"
	flowError      = "ak-stage-flow-error"
)

const mobileClass = "mobile"

// challenge is the union of the challenges' fields that matter here.
type challenge struct {
	Component      string                   `json:"component"`
	ResponseErrors map[string][]stringError `json:"response_errors"`
	To             string                   `json:"to"`
	ErrorMessage   string                   `json:"error_message"`
	RequestID      string                   `json:"request_id"`
	PasswordFields bool                     `json:"password_fields"`
	Devices        []deviceChallenge        `json:"device_challenges"`
	Payload        json.RawMessage          `json:"payload"`
	Fingerprint    string                   `json:"fingerprint"`
}

type stringError struct {
	Text string `json:"string"`
	Code string `json:"code"`
}

type deviceChallenge struct {
	Class     string `json:"device_class"`
	UID       string `json:"device_uid"`
	Challenge struct {
		Mode string `json:"item_mode"`
		Item string `json:"item"`
		Name string `json:"device_name"`
	} `json:"challenge"`
}

// Device is a phone that the login page offers.
type Device struct {
	UID  string
	Name string
	Mode string // item matching mode
	Item string // what the page tells the person to tap
}

func (c challenge) phones() []Device {
	var out []Device
	for _, d := range c.Devices {
		if d.Class == mobileClass {
			out = append(out, Device{d.UID, d.Challenge.Name, d.Challenge.Mode, d.Challenge.Item})
		}
	}
	return out
}

// fault is the first error on a field, zero if there is none.
func (c challenge) fault(field string) stringError {
	if list := c.ResponseErrors[field]; len(list) > 0 {
		return list[0]
	}
	return stringError{}
}

// anyFault is some error of the challenge.
func (c challenge) anyFault() stringError {
	for _, list := range c.ResponseErrors {
		if len(list) > 0 {
			return list[0]
		}
	}
	return stringError{}
}

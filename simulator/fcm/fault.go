package fcm

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"countersign/simulator/control"
)

// Code names an outcome that a send can be told to have.
type Code string

// The error codes of the API, and below them faults that are not an FcmError.
const (
	Unregistered        Code = "UNREGISTERED"           // 404
	InvalidArgument     Code = "INVALID_ARGUMENT"       // 400 with an FcmError detail
	SenderIDMismatch    Code = "SENDER_ID_MISMATCH"     // 403
	QuotaExceeded       Code = "QUOTA_EXCEEDED"         // 429
	Unavailable         Code = "UNAVAILABLE"            // 503
	Internal            Code = "INTERNAL"               // 500
	ThirdPartyAuthError Code = "THIRD_PARTY_AUTH_ERROR" // 401

	InvalidField     Code = "INVALID_FIELD"     // 400 with a BadRequest detail
	Unauthenticated  Code = "UNAUTHENTICATED"   // 401 without FcmError: the bearer token is bad
	PermissionDenied Code = "PERMISSION_DENIED" // 403 without FcmError: not our project
	Reset            Code = "RESET"             // the connection is cut without an answer
	Hang             Code = "HANG"              // no answer until the client gives up
)

// rule is how a Code looks on the wire.
type rule struct {
	http    int
	status  string
	message string
	fcm     bool // carries an FcmError detail
}

func (c Code) rule() (rule, bool) {
	switch c {
	case Unregistered:
		return rule{http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.", true}, true
	case InvalidArgument:
		return rule{http.StatusBadRequest, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", true}, true
	case SenderIDMismatch:
		return rule{http.StatusForbidden, "PERMISSION_DENIED", "SenderId mismatch", true}, true
	case QuotaExceeded:
		return rule{http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", true}, true
	case Unavailable:
		return rule{http.StatusServiceUnavailable, "UNAVAILABLE", "The service is currently unavailable.", true}, true
	case Internal:
		return rule{http.StatusInternalServerError, "INTERNAL", "Internal error encountered.", true}, true
	case ThirdPartyAuthError:
		return rule{http.StatusUnauthorized, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", true}, true
	case InvalidField:
		return rule{http.StatusBadRequest, "INVALID_ARGUMENT", "Request contains an invalid argument.", false}, true
	case Unauthenticated:
		return rule{http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.", false}, true
	case PermissionDenied:
		return rule{http.StatusForbidden, "PERMISSION_DENIED", "Permission 'cloudmessaging.messages.create' denied on the project (or it may not exist).", false}, true
	case Reset, Hang:
		return rule{}, true
	}
	return rule{}, false
}

// Duration is a time.Duration that reads and writes as text, "1.5s".
type Duration time.Duration

// MarshalText writes the duration as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads, and refuses what is negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	if v < 0 {
		return fmt.Errorf("duration %s is negative", text)
	}
	*d = Duration(v)
	return nil
}

// Step is what one send meets. The zero Step is success.
type Step struct {
	Error      Code     `json:"error,omitempty"`
	RetryAfter Duration `json:"retry_after,omitzero"` // header of the error, in whole seconds
	Latency    Duration `json:"latency,omitzero"`     // before the answer
	Delay      Duration `json:"delay,omitzero"`       // between acceptance and delivery
	Lose       bool     `json:"lose,omitempty"`       // accepted, never delivered
	Twice      bool     `json:"twice,omitempty"`      // delivered two times
}

// Script is what the sends to one address meet, in order. After the last step sends succeed again,
// unless Repeat holds the last one for good.
type Script struct {
	Steps  []Step `json:"steps"`
	Repeat bool   `json:"repeat,omitempty"`
}

const (
	maxSteps        = 1000
	maxDeviceQuotas = 4
)

func (s Script) validate() error {
	if len(s.Steps) > maxSteps {
		return fmt.Errorf("script: more than %d steps", maxSteps)
	}
	for i, step := range s.Steps {
		if _, known := step.Error.rule(); step.Error != "" && !known {
			return fmt.Errorf("script: step %d: unknown error %q", i+1, step.Error)
		}
	}
	return nil
}

// next takes the step for this send.
func (s *Script) next() Step {
	if len(s.Steps) == 0 {
		return Step{}
	}
	step := s.Steps[0]
	if len(s.Steps) > 1 || !s.Repeat {
		s.Steps = s.Steps[1:]
	}
	return step
}

// Outage is a time in which the service fails for everybody.
type Outage struct {
	From       time.Time `json:"from,omitzero"`        // zero: since ever
	Until      time.Time `json:"until,omitzero"`       // zero: for ever
	Error      Code      `json:"error,omitempty"`      // default UNAVAILABLE
	RetryAfter Duration  `json:"retry_after,omitzero"` //
	Token      bool      `json:"token,omitempty"`      // the token endpoint fails as well
}

func (o Outage) covers(now time.Time) bool {
	return !now.Before(o.From) && (o.Until.IsZero() || now.Before(o.Until))
}

// Quota is a bucket of messages that fills up whole. It starts with the first send after a refill,
// so that it is not aligned to the clock.
type Quota struct {
	Messages int      `json:"messages"`
	Per      Duration `json:"per"`
}

// Conditions are what every send meets. The zero value is a service in perfect health without quota.
type Conditions struct {
	Latency     Duration `json:"latency,omitzero"` // before each answer
	Jitter      Duration `json:"jitter,omitzero"`  // up to this much more, evenly drawn
	Delay       Duration `json:"delay,omitzero"`   // between acceptance and delivery
	DelayJitter Duration `json:"delay_jitter,omitzero"`
	ErrorRate   float64  `json:"error_rate,omitempty"` // share of sends that fail, 0 to 1
	Errors      []Code   `json:"errors,omitempty"`     // drawn from evenly; default UNAVAILABLE and INTERNAL
	LossRate    float64  `json:"loss_rate,omitempty"`  // share of accepted sends never delivered, 0 to 1
	Outages     []Outage `json:"outages,omitempty"`
	Quota       *Quota   `json:"quota,omitempty"`
	// DeviceQuotas hold for each address, all of them at a time; none: no limit. See [OriginalQuotas].
	DeviceQuotas []Quota `json:"device_quotas,omitempty"`
	Doze         bool    `json:"doze,omitempty"` // every phone sleeps, as [Device.Doze] has it
	// DemoteAfter is how many messages of priority high, within seven days, may lead to nothing that is seen, before those that follow
	// count as normal; 0: as many as there are. The original does not say how many.
	DemoteAfter int `json:"demote_after,omitempty"`
}

// OriginalQuotas are those that the original's documentation names: 600 000 messages a minute for a project, 240 a minute and 5000 an hour
// for a device.
func OriginalQuotas() Conditions {
	return Conditions{
		Quota:        &Quota{Messages: 600_000, Per: Duration(time.Minute)},
		DeviceQuotas: []Quota{{Messages: 240, Per: Duration(time.Minute)}, {Messages: 5000, Per: Duration(time.Hour)}},
	}
}

func (c Conditions) validate() error {
	if c.ErrorRate < 0 || c.ErrorRate > 1 || c.LossRate < 0 || c.LossRate > 1 {
		return fmt.Errorf("conditions: a rate lies outside 0 to 1")
	}
	for _, code := range c.Errors {
		if _, known := code.rule(); !known {
			return fmt.Errorf("conditions: unknown error %q", code)
		}
	}
	if len(c.Outages) > maxSteps {
		return fmt.Errorf("conditions: more than %d outages", maxSteps)
	}
	for _, o := range c.Outages {
		if _, known := o.Error.rule(); o.Error != "" && !known {
			return fmt.Errorf("conditions: unknown error %q", o.Error)
		}
	}
	quotas := c.DeviceQuotas
	if c.Quota != nil {
		quotas = append([]Quota{*c.Quota}, quotas...)
	}
	for _, q := range quotas {
		if q.Messages < 1 || q.Per <= 0 {
			return fmt.Errorf("conditions: a quota needs messages and a time")
		}
	}
	if len(c.DeviceQuotas) > maxDeviceQuotas || c.DemoteAfter < 0 {
		return fmt.Errorf("conditions: at most %d device quotas, and demote_after is not negative", maxDeviceQuotas)
	}
	return nil
}

// refusal is an error on its way to the client.
type refusal struct {
	code       Code
	message    string // instead of the code's own
	field      string // with code InvalidField
	retryAfter time.Duration
}

type errorBody struct {
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
		Details []any  `json:"details,omitempty"`
	} `json:"error"`
}

type fcmDetail struct {
	Type      string `json:"@type"`
	ErrorCode Code   `json:"errorCode"`
}

type fieldDetail struct {
	Type       string           `json:"@type"`
	Violations []fieldViolation `json:"fieldViolations"`
}

type fieldViolation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// write answers with the refusal's body; [Reset] and [Hang] do not come here.
func (f *refusal) write(w http.ResponseWriter) {
	r, _ := f.code.rule()
	var body errorBody
	body.Error.Code, body.Error.Status, body.Error.Message = r.http, r.status, r.message
	if f.message != "" {
		body.Error.Message = f.message
	}
	switch {
	case r.fcm:
		body.Error.Details = []any{fcmDetail{"type.googleapis.com/google.firebase.fcm.v1.FcmError", f.code}}
	case f.code == InvalidField:
		field := f.field
		if field == "" {
			field = "message"
		}
		body.Error.Details = []any{fieldDetail{
			"type.googleapis.com/google.rpc.BadRequest",
			[]fieldViolation{{field, body.Error.Message}},
		}}
	}
	if f.retryAfter > 0 {
		seconds := int64((f.retryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	control.Write(w, r.http, body)
}

package apns

import (
	"net/http"
	"time"

	"countersign/simulator/control"
)

// Reason is Apple's word for what is wrong with a notification: "Handling notification responses from APNs", table 4.
type Reason string

// The reasons.
const (
	BadCollapseID               Reason = "BadCollapseId"
	BadDeviceToken              Reason = "BadDeviceToken"
	BadExpirationDate           Reason = "BadExpirationDate"
	BadMessageID                Reason = "BadMessageId"
	BadPriority                 Reason = "BadPriority"
	BadTopic                    Reason = "BadTopic"
	DeviceTokenNotForTopic      Reason = "DeviceTokenNotForTopic"
	DuplicateHeaders            Reason = "DuplicateHeaders"
	IdleTimeout                 Reason = "IdleTimeout"
	InvalidPushType             Reason = "InvalidPushType"
	MissingDeviceToken          Reason = "MissingDeviceToken"
	MissingTopic                Reason = "MissingTopic"
	PayloadEmpty                Reason = "PayloadEmpty"
	TopicDisallowed             Reason = "TopicDisallowed"
	BadCertificate              Reason = "BadCertificate"
	BadCertificateEnvironment   Reason = "BadCertificateEnvironment"
	ExpiredProviderToken        Reason = "ExpiredProviderToken"
	Forbidden                   Reason = "Forbidden"
	InvalidProviderToken        Reason = "InvalidProviderToken"
	MissingProviderToken        Reason = "MissingProviderToken"
	UnrelatedKeyIDInToken       Reason = "UnrelatedKeyIdInToken"
	BadPath                     Reason = "BadPath"
	MethodNotAllowed            Reason = "MethodNotAllowed"
	ExpiredToken                Reason = "ExpiredToken"
	Unregistered                Reason = "Unregistered"
	PayloadTooLarge             Reason = "PayloadTooLarge"
	TooManyProviderTokenUpdates Reason = "TooManyProviderTokenUpdates"
	TooManyRequests             Reason = "TooManyRequests"
	InternalServerError         Reason = "InternalServerError"
	ServiceUnavailable          Reason = "ServiceUnavailable"
	Shutdown                    Reason = "Shutdown"

	// HTTP2Required is no word of Apple's, whose service does not answer HTTP/1.1 at all.
	HTTP2Required Reason = "HTTP2Required"
)

// statuses are the reasons by their status.
var statuses = []struct {
	status  int
	reasons []Reason
}{
	{http.StatusBadRequest, []Reason{
		BadCollapseID, BadDeviceToken, BadExpirationDate, BadMessageID, BadPriority, BadTopic, DeviceTokenNotForTopic, DuplicateHeaders, IdleTimeout,
		InvalidPushType, MissingDeviceToken, MissingTopic, PayloadEmpty, TopicDisallowed,
	}},
	{http.StatusForbidden, []Reason{
		BadCertificate, BadCertificateEnvironment, ExpiredProviderToken, Forbidden, InvalidProviderToken, MissingProviderToken, UnrelatedKeyIDInToken,
	}},
	{http.StatusNotFound, []Reason{BadPath}},
	{http.StatusMethodNotAllowed, []Reason{MethodNotAllowed}},
	{http.StatusGone, []Reason{ExpiredToken, Unregistered}},
	{http.StatusRequestEntityTooLarge, []Reason{PayloadTooLarge}},
	{http.StatusTooManyRequests, []Reason{TooManyProviderTokenUpdates, TooManyRequests}},
	{http.StatusInternalServerError, []Reason{InternalServerError}},
	{http.StatusServiceUnavailable, []Reason{ServiceUnavailable, Shutdown}},
	{http.StatusHTTPVersionNotSupported, []Reason{HTTP2Required}},
}

// Reasons are all of them, by their status.
func Reasons() []Reason {
	var out []Reason
	for _, s := range statuses {
		out = append(out, s.reasons...)
	}
	return out
}

// Status is the HTTP status of a reason; false where it is none.
func (r Reason) Status() (int, bool) {
	for _, s := range statuses {
		for _, one := range s.reasons {
			if one == r {
				return s.status, true
			}
		}
	}
	return http.StatusInternalServerError, false
}

// refuse answers with a reason.
func refuse(w http.ResponseWriter, r Reason, died time.Time) {
	status, _ := r.Status()
	write(w, status, string(r), died)
}

// write answers with a reason's body. Of a device that is gone it says since when, in milliseconds.
func write(w http.ResponseWriter, status int, reason string, died time.Time) {
	body := map[string]any{"reason": reason}
	if status == http.StatusGone {
		body["timestamp"] = died.UnixMilli()
	}
	control.Write(w, status, body)
}

package fcm

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	maxBody      = 64 << 10 // a request
	maxPayload   = 4096     // data and notification of a message
	maxTopic     = 2048     // the same, to topics and conditions
	maxTTL       = 28 * 24 * time.Hour
	maxAddress   = 4096
	minAddress   = 8 // shorter ones are taken for typing errors
	maxCondition = 5 // topics in a condition
)

// Message is an accepted message as a phone receives it.
type Message struct {
	ID          string            `json:"id"`
	Address     string            `json:"address"`
	Data        map[string]string `json:"data,omitempty"`
	Title       string            `json:"title,omitempty"`
	Body        string            `json:"body,omitempty"`
	High        bool              `json:"high"`              // priority high: rings a sleeping phone at once
	Demoted     bool              `json:"demoted,omitempty"` // it was sent with priority high, and counts as normal: High is false
	CollapseKey string            `json:"collapse_key,omitempty"`
	Sent        time.Time         `json:"sent"`
	Expires     time.Time         `json:"expires"` // equal to Sent: now or never
}

// sendRequest is the request after the schema has passed it.
type sendRequest struct {
	ValidateOnly bool `json:"validate_only"`
	Message      *struct {
		Token        string            `json:"token"`
		FID          string            `json:"fid"`
		Topic        string            `json:"topic"`
		Condition    string            `json:"condition"`
		Data         map[string]string `json:"data"`
		Notification *notification     `json:"notification"`
		Android      *struct {
			CollapseKey  string            `json:"collapse_key"`
			Priority     string            `json:"priority"`
			TTL          string            `json:"ttl"`
			Data         map[string]string `json:"data"`
			Notification *notification     `json:"notification"`
		} `json:"android"`
		Webpush *struct {
			Headers map[string]string `json:"headers"`
			Data    map[string]string `json:"data"`
		} `json:"webpush"`
		APNS *struct {
			Headers map[string]string `json:"headers"`
			Payload map[string]any    `json:"payload"`
		} `json:"apns"`
	} `json:"message"`
}

type notification struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Image string `json:"image"`
}

// target is where a send goes; exactly one of the four of the API.
type target struct {
	kind  string // "token", "fid", "topic" or "condition"
	value string
}

func (t target) device() bool { return t.kind == "token" || t.kind == "fid" }

// read turns a request body into a message, or says which error the API would give.
func read(schema fields, body []byte, now time.Time) (target, Message, bool, *refusal) {
	tree, err := readTree(body)
	if err == nil {
		tree, err = conform(tree, schema, "")
	}
	if bad := (*badField)(nil); errors.As(err, &bad) {
		return target{}, Message{}, false, &refusal{code: InvalidField, message: bad.text, field: bad.path}
	}
	normal, err := json.Marshal(tree)
	var req sendRequest
	if err == nil {
		err = json.Unmarshal(normal, &req)
	}
	if err != nil {
		return target{}, Message{}, false, &refusal{code: InvalidField, message: err.Error()}
	}
	if req.Message == nil {
		return target{}, Message{}, false, &refusal{code: InvalidField, message: "The message is not set.", field: "message"}
	}
	to, refused := req.target()
	if refused != nil {
		return to, Message{}, req.ValidateOnly, refused
	}
	m, refused := req.build(to, now)
	return to, m, req.ValidateOnly, refused
}

var (
	topicForm     = regexp.MustCompile(`^[a-zA-Z0-9\-_.~%]{1,900}$`)
	fidForm       = regexp.MustCompile(`^[cdef][A-Za-z0-9_-]{21}$`)
	conditionForm = regexp.MustCompile(`^[\s()!&|]*('[a-zA-Z0-9\-_.~%]+' in topics[\s()!&|]*)+$`)
)

func (r sendRequest) target() (target, *refusal) {
	var set []target
	for _, t := range []target{
		{"token", r.Message.Token}, {"fid", r.Message.FID}, {"topic", r.Message.Topic}, {"condition", r.Message.Condition},
	} {
		if t.value != "" {
			set = append(set, t)
		}
	}
	switch {
	case len(set) == 0:
		return target{}, &refusal{code: InvalidArgument, message: "Recipient of the message is not set."}
	case len(set) > 1:
		return set[0], &refusal{code: InvalidField, message: "Invalid value (oneof), oneof field 'target' is already set. Cannot set '" + set[1].kind + "'", field: "message"}
	}
	t := set[0]
	ok, what := true, ""
	switch t.kind {
	case "token":
		ok, what = validAddress(t.value), "The registration token is not a valid FCM registration token"
	case "fid":
		ok, what = fidForm.MatchString(t.value), "The installation ID is not a valid Firebase installation ID"
	case "topic":
		ok, what = topicForm.MatchString(t.value), "Invalid topic name provided."
	case "condition":
		ok = conditionForm.MatchString(t.value) && strings.Count(t.value, " in topics") <= maxCondition
		what = "Invalid condition expression provided."
	}
	if !ok {
		return t, &refusal{code: InvalidArgument, message: what}
	}
	return t, nil
}

// validAddress admits what looks like a registration token: visible ASCII without quotes or slashes.
func validAddress(s string) bool {
	if len(s) < minAddress || len(s) > maxAddress {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.IndexByte(":_-.%~", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// build merges the platform blocks as a phone would see them: Android's over the common fields.
func (r sendRequest) build(to target, now time.Time) (Message, *refusal) {
	in := r.Message
	m := Message{Address: to.value, Data: in.Data, Sent: now}
	if n := in.Notification; n != nil {
		m.Title, m.Body = n.Title, n.Body
	}
	ttl := maxTTL
	if a := in.Android; a != nil {
		m.CollapseKey, m.High = a.CollapseKey, a.Priority == "HIGH"
		if a.Data != nil {
			m.Data = a.Data
		}
		if n := a.Notification; n != nil {
			m.Title, m.Body = cmp.Or(n.Title, m.Title), cmp.Or(n.Body, m.Body)
		}
		if a.TTL != "" {
			seconds, err := strconv.ParseFloat(strings.TrimSuffix(a.TTL, "s"), 64)
			if err != nil || seconds < 0 || seconds > maxTTL.Seconds() {
				return m, &refusal{code: InvalidField, message: "Invalid ttl: it must lie between 0 and 2419200 seconds.", field: "message.android.ttl"}
			}
			ttl = time.Duration(seconds * float64(time.Second))
		}
	}
	if w := in.Webpush; w != nil && (in.Android == nil || in.Android.TTL == "") {
		if text, ok := header(w.Headers, "TTL"); ok {
			seconds, err := strconv.ParseInt(text, 10, 32)
			if err != nil || seconds < 0 || time.Duration(seconds)*time.Second > maxTTL {
				return m, &refusal{code: InvalidField, message: "Invalid TTL header: " + text, field: "message.webpush.headers"}
			}
			ttl = time.Duration(seconds) * time.Second
		}
	}
	m.Expires = now.Add(ttl)
	if refused := r.apns(&m, now); refused != nil {
		return m, refused
	}
	for _, data := range []struct {
		path string
		m    map[string]string
	}{{"message.data", in.Data}, {"message.android.data", m.Data}} {
		for key := range data.m {
			if reserved(key) {
				return m, &refusal{code: InvalidField, message: "Invalid data payload key: " + key, field: data.path}
			}
		}
	}
	return m, r.size(to, m)
}

// apns reads what Apple's block adds: its expiry holds where Android's is not set, and a data-only
// message must not claim the priority of an alert.
func (r sendRequest) apns(m *Message, now time.Time) *refusal {
	a := r.Message.APNS
	if a == nil {
		return nil
	}
	priority, hasPriority := header(a.Headers, "apns-priority")
	if hasPriority && priority != "1" && priority != "5" && priority != "10" {
		return &refusal{code: InvalidField, message: "Invalid apns-priority header: " + priority, field: "message.apns.headers"}
	}
	pushType, _ := header(a.Headers, "apns-push-type")
	if pushType == "background" && priority == "10" {
		return &refusal{code: InvalidArgument, message: "A background notification must have apns-priority 5."}
	}
	if r.Message.Android == nil || r.Message.Android.TTL == "" {
		if text, ok := header(a.Headers, "apns-expiration"); ok {
			epoch, err := strconv.ParseInt(text, 10, 64)
			if err != nil || epoch < 0 {
				return &refusal{code: InvalidField, message: "Invalid apns-expiration header: " + text, field: "message.apns.headers"}
			}
			m.Expires = time.Unix(epoch, 0)
			if m.Expires.Before(now) {
				m.Expires = now
			}
			if latest := now.Add(maxTTL); m.Expires.After(latest) {
				m.Expires = latest
			}
		}
	}
	if r.Message.Android == nil || r.Message.Android.Priority == "" {
		m.High = !hasPriority && r.Message.Notification != nil || priority == "10"
	}
	if key, ok := header(a.Headers, "apns-collapse-id"); ok {
		if len(key) > 64 {
			return &refusal{code: InvalidField, message: "Invalid apns-collapse-id header: more than 64 bytes", field: "message.apns.headers"}
		}
		m.CollapseKey = cmp.Or(m.CollapseKey, key)
	}
	return nil
}

// reserved are the data keys that the service keeps for itself.
func reserved(key string) bool {
	switch key {
	case "", "from", "gcm", "message_type":
		return true
	}
	return strings.HasPrefix(key, "google.") || strings.HasPrefix(key, "gcm.")
}

func (r sendRequest) size(to target, m Message) *refusal {
	limit := maxPayload
	if !to.device() {
		limit = maxTopic
	}
	count := len(m.Title) + len(m.Body)
	for key, value := range m.Data {
		count += len(key) + len(value)
	}
	if n := r.Message.Notification; n != nil {
		count += len(n.Image)
	}
	if count > limit {
		return &refusal{code: InvalidArgument, message: fmt.Sprintf("Android message is too big: %d bytes, at most %d.", count, limit)}
	}
	if a := r.Message.APNS; a != nil {
		payload, err := json.Marshal(a.Payload)
		if err != nil || len(payload) > limit {
			return &refusal{code: InvalidArgument, message: fmt.Sprintf("APNS payload is too big, at most %d bytes.", limit)}
		}
	}
	if w := r.Message.Webpush; w != nil {
		count := 0
		for key, value := range w.Data {
			count += len(key) + len(value)
		}
		if count > limit {
			return &refusal{code: InvalidArgument, message: fmt.Sprintf("Web Push message is too big, at most %d bytes.", limit)}
		}
	}
	return nil
}

func header(headers map[string]string, name string) (string, bool) {
	for key, value := range headers {
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

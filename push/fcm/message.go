package fcm

import (
	"strconv"
	"time"

	"firebase.google.com/go/v4/messaging"

	"countersign/push"
)

// category is the notification category that the app registers on Apple phones (core.md §4.6).
const category = "cat_authentik_push_authorization"

// message is the message as FCM takes it: for Android high priority, without which a sleeping phone waits, and for
// Apple an alert that may break through a Focus. The notification block is what a phone shows by itself while the app
// is not running; its tag makes a later prompt replace an earlier one there too, as the collapse key does in transit.
func (c *Channel) message(m push.Message) *messaging.Message {
	ttl := m.TTL.Truncate(time.Second) // down: never longer than the answer window
	expiration := "0"                  // APNs: now or never
	if ttl > 0 {
		expiration = strconv.FormatInt(c.now().Add(ttl).Unix(), 10)
	}
	headers := map[string]string{
		"apns-priority":   "10",
		"apns-push-type":  "alert",
		"apns-expiration": expiration,
	}
	if m.CollapseKey != "" {
		headers["apns-collapse-id"] = m.CollapseKey
	}
	return &messaging.Message{
		Token:        m.Address,
		Data:         m.Data,
		Notification: &messaging.Notification{Title: m.Title, Body: m.Body},
		Android: &messaging.AndroidConfig{
			Priority:     "high",
			TTL:          &ttl,
			CollapseKey:  m.CollapseKey,
			Notification: &messaging.AndroidNotification{Tag: m.CollapseKey, Priority: messaging.PriorityHigh, DefaultSound: true},
		},
		APNS: &messaging.APNSConfig{
			Headers: headers,
			Payload: &messaging.APNSPayload{Aps: &messaging.Aps{
				Sound:      "default",
				Category:   category,
				CustomData: map[string]any{"interruption-level": "time-sensitive"},
			}},
		},
	}
}

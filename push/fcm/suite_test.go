package fcm

import (
	"strings"
	"testing"
	"time"

	"countersign/push"
	"countersign/push/pushtest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	words := map[push.Reason]reply{
		"":                  {},
		push.Unregistered:   refusal(404, "NOT_FOUND", "UNREGISTERED", "No such token: "+token),
		push.InvalidAddress: refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid registration token "+token),
		push.BadMessage:     refusal(400, "INVALID_ARGUMENT", "", "For "+token, "message.data[0].value"),
		push.SenderMismatch: refusal(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "Not yours: "+token),
		push.Credentials:    refusal(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "APNs refused for "+token),
		push.Quota:          refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Too many for "+token),
		push.Unavailable:    refusal(503, "UNAVAILABLE", "UNAVAILABLE", "Cannot serve "+token),
		push.Internal:       refusal(500, "INTERNAL", "INTERNAL", "Cannot find "+token),
	}
	var all []push.Reason
	for r := range words {
		if r != "" {
			all = append(all, r)
		}
	}
	fixed := map[string]string{
		"android.priority": "high",
		"android.ttl":      "60s",
		"android.notification.notification_priority": "PRIORITY_HIGH",
		"android.notification.default_sound":         "true",
		"apns.headers.apns-priority":                 "10",
		"apns.headers.apns-push-type":                "alert",
		"apns.payload.aps.sound":                     "default",
		"apns.payload.aps.category":                  "cat_authentik_push_authorization",
		"apns.payload.aps.interruption-level":        "time-sensitive",
		"apns.headers.apns-expiration":               "1700000060",
	}
	pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
		g := startDouble(t)
		c := g.channel(func(c *Config) { c.Now = func() time.Time { return time.Unix(1_700_000_000, 0) } })
		return pushtest.Fixture{
			Channel: c, Address: token, Reasons: all,
			Secrets: []string{"access-token-1", "PRIVATE KEY", strings.SplitN(string(c.tokens.conf.PrivateKey), "\n", 3)[1]},
			Answer: func(r push.Reason, pause time.Duration) {
				say := words[r]
				if pause > 0 {
					say = say.after(seconds(pause))
				}
				g.set(func() { g.say = say })
			},
			Hang: func() <-chan struct{} { return g.hang("/v1/projects/" + project + "/messages:send") },
			Sent: func() [][]byte {
				g.mu.Lock()
				defer g.mu.Unlock()
				return append([][]byte(nil), g.sent...)
			},
			Fixed: func(path, value string) bool { return fixed[path] == value },
		}
	})
}

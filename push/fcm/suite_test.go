package fcm

import (
	"encoding/json"
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
	for name, address := range map[string]string{Name: token, NameInstallation: installation} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pushtest.Run(t, func(t *testing.T) pushtest.Fixture {
				return fixture(t, address, words, all, fixed)
			})
		})
	}
}

// installation is a Firebase installation id.
const installation = "cJvq4Tn3Q1u6zV9xY2wR5s"

func fixture(t *testing.T, address string, words map[push.Reason]reply, all []push.Reason, fixed map[string]string) pushtest.Fixture {
	g := startDouble(t)
	c := g.channel(func(c *Config) { c.Now = func() time.Time { return time.Unix(1_700_000_000, 0) } })
	if address == installation {
		c = c.Installations()
	}
	return pushtest.Fixture{
		Channel: c, Address: address, Reasons: all,
		Secrets: []string{"access-token-1", "PRIVATE KEY", strings.SplitN(string(c.tokens.conf.PrivateKey), "\n", 3)[1]},
		Answer: func(r push.Reason, pause time.Duration) {
			say := words[r]
			say.body = strings.ReplaceAll(say.body, token, address)
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
}

// G14: an installation id is the target that FCM calls fid, and what is none is not sent.
func TestInstallations(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	c := g.channel(nil).Installations()
	m := message()
	m.Address = installation
	if err := c.Send(t.Context(), m); err != nil || c.Name() != NameInstallation {
		t.Fatal(err)
	}
	var target struct{ Token, FID string }
	sent, _ := g.first()
	if err := json.Unmarshal([]byte(sent), &target); err != nil || target.FID != installation || target.Token != "" {
		t.Errorf("sent %s, %v", sent, err)
	}
	m.Address = token
	if e := refused(t, c.Send(t.Context(), m)); e.Reason != push.InvalidAddress || len(g.sent) != 1 {
		t.Errorf("a registration token: %v", e)
	}
}

package fcm

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/push"
)

func message() push.Message {
	return push.Message{
		Address: token, Title: "Login request", Body: "Open the app", Data: map[string]string{"v": "1"},
		TTL: 90*time.Second + 900*time.Millisecond, CollapseKey: "login",
	}
}

// refused is the *push.Error of an error.
func refused(t *testing.T, err error) *push.Error {
	t.Helper()
	var e *push.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want a *push.Error", err, err)
	}
	return e
}

func TestMessage(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	c := g.channel(func(c *Config) { c.Now = func() time.Time { return time.Unix(1_700_000_000, 0) } })
	if err := c.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	want := `{
		"token": "` + token + `",
		"data": {"v": "1"},
		"notification": {"title": "Login request", "body": "Open the app"},
		"android": {
			"priority": "high", "ttl": "90s", "collapse_key": "login",
			"notification": {"tag": "login", "notification_priority": "PRIORITY_HIGH", "default_sound": true}
		},
		"apns": {
			"headers": {
				"apns-priority": "10", "apns-push-type": "alert", "apns-expiration": "1700000090", "apns-collapse-id": "login"
			},
			"payload": {"aps": {
				"sound": "default", "category": "cat_authentik_push_authorization", "interruption-level": "time-sensitive"
			}}
		}
	}`
	sent, headers := g.first()
	var got, expected any
	if err := errors.Join(json.Unmarshal([]byte(sent), &got), json.Unmarshal([]byte(want), &expected)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("sent %s\nwant %s", sent, want)
	}
	if client, kind := headers.Get("X-Firebase-Client"), headers.Get("Content-Type"); client != "fire-admin-go/4.19.0" ||
		kind != "application/json" {
		t.Errorf("headers %v", headers)
	}
}

// The log has FCM's own words, the status as it was sent among them.
func TestErrorText(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	c := g.channel(nil)
	for want, say := range map[string]reply{
		"push: unavailable: fcm: 503 Service Unavailable, UNAVAILABLE, Away": refusal(503, "UNAVAILABLE", "UNAVAILABLE", "Away"),
		"push: bad_message: fcm: 400 Bad Request, Wrong, message.data, message.android": refusal(
			400, "INVALID_ARGUMENT", "", "Wrong", "message.data", "message.android"),
		"push: internal: fcm: 500 Internal Server Error": {status: 500, body: "<html>"},
	} {
		g.set(func() { g.say = say })
		if err := c.Send(t.Context(), message()); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestNowOrNever(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	m := message()
	m.TTL, m.CollapseKey = 400*time.Millisecond, ""
	if err := g.channel(nil).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	sent, _ := g.first()
	for _, part := range []string{`"ttl":"0s"`, `"apns-expiration":"0"`} {
		if !strings.Contains(sent, part) {
			t.Errorf("%s is missing in %s", part, sent)
		}
	}
	if strings.Contains(sent, "collapse") {
		t.Errorf("an empty collapse key was sent: %s", sent)
	}
}

func TestNotSent(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	c := g.channel(nil)
	for want, change := range map[push.Reason]func(*push.Message){
		push.NoAddress: func(m *push.Message) { m.Address = "" },
		push.Expired:   func(m *push.Message) { m.TTL = -1 },
	} {
		m := message()
		change(&m)
		if e := refused(t, c.Send(t.Context(), m)); e.Reason != want || !e.Permanent {
			t.Errorf("%s: %+v", want, e)
		}
	}
	if n := g.attempts(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		say   reply
		want  push.Reason
		pause time.Duration
	}{
		{"bad token by field", refusal(400, "INVALID_ARGUMENT", "", "Invalid", "message.token"), push.InvalidAddress, 0},
		{"bad token by both details", refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid", "message.token"),
			push.InvalidAddress, 0},
		{"bad token by words", refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT",
			"The registration token is not a valid FCM registration token"), push.InvalidAddress, 0},
		{"bad data", refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid", "message.data[0].value"), push.BadMessage, 0},
		{"bad data and token", refusal(400, "INVALID_ARGUMENT", "", "Invalid", "message.token", "message.android.ttl"),
			push.BadMessage, 0},
		{"too big", refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Android message is too big"), push.BadMessage, 0},
		{"not a request", reply{status: 400, body: "<html>"}, push.BadMessage, 0},
		{"entity too large", reply{status: 413}, push.BadMessage, 0},
		{"API disabled", refusal(403, "PERMISSION_DENIED", "", "FCM API has not been used"), push.Credentials, 0},
		{"no such project", refusal(404, "NOT_FOUND", "", "Not found"), push.Credentials, 0},
		{"APNs key", refusal(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "APNs"), push.Credentials, 0},
		{"quota", refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota").after("7"), push.Quota, 7 * time.Second},
		{"quota of the front", reply{status: 429}.after("8"), push.Quota, 8 * time.Second},
		{"quota until", reply{status: 429}.after("Tue, 14 Nov 2023 22:13:45 GMT"), push.Quota, 25 * time.Second},
		{"quota until before", reply{status: 429}.after("Tue, 14 Nov 2022 22:13:45 GMT"), push.Quota, 0},
		{"quota in a strange word", reply{status: 429}.after("soon"), push.Quota, 0},
		{"unavailable", refusal(503, "UNAVAILABLE", "UNAVAILABLE", "Away").after("9"), push.Unavailable, 9 * time.Second},
		{"unavailable for long", reply{status: 503}.after("3600"), push.Unavailable, time.Hour},
		{"front away", reply{status: 503, body: "<html>"}, push.Unavailable, 0},
		{"gateway", reply{status: 502, body: "<html>"}, push.Unavailable, 0},
		{"gateway timeout", reply{status: 504}, push.Unavailable, 0},
		{"request timeout", reply{status: 408}, push.Unavailable, 0},
		{"internal", refusal(500, "INTERNAL", "INTERNAL", "Oops"), push.Internal, 0},
		{"internal of the front", reply{status: 500}, push.Internal, 0},
		{"a page for people", reply{status: 200, body: "<html>"}, push.Unavailable, 0},
		{"no message name", reply{status: 200, body: "{}"}, push.Unavailable, 0},
		{"redirection", reply{status: 307, header: http.Header{"Location": {"/v1/elsewhere"}}}, push.Unavailable, 0},
		{"found", reply{status: 302, header: http.Header{"Location": {"/v1/elsewhere"}}, body: "{}"}, push.Unavailable, 0},
		{"endless answer", reply{status: 200, body: `{"name":"` + strings.Repeat("x", 1<<20)}, push.Unavailable, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := startDouble(t)
			g.say = c.say
			channel := g.channel(func(c *Config) { c.Now = func() time.Time { return time.Unix(1_700_000_000, 0) } })
			e := refused(t, channel.Send(t.Context(), message()))
			if e.Reason != c.want || e.RetryAfter != c.pause || e.Permanent != c.want.Permanent() {
				t.Errorf("%+v, want %s after %v", e, c.want, c.pause)
			}
			if n := g.attempts(); n != 1 {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

// counting counts connections that were tried, none of which comes about.
type counting struct{ n atomic.Int32 }

func (c *counting) RoundTrip(*http.Request) (*http.Response, error) {
	c.n.Add(1)
	return nil, errors.New("no route to host")
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	broken := &counting{}
	c := g.channel(func(c *Config) { c.Transport = broken })
	c.tokens.current, c.tokens.expires = "from before", time.Now().Add(time.Hour)
	e := refused(t, c.Send(t.Context(), message()))
	if e.Reason != push.Unavailable || e.Permanent || !strings.Contains(e.Error(), "no route to host") {
		t.Errorf("%v", e)
	}
	if n := broken.n.Load(); n != 1 {
		t.Errorf("%d attempts: the SDK's own retries are not stopped", n)
	}
}

func TestAccessToken(t *testing.T) {
	t.Parallel()
	var now atomic.Int64 // seconds
	now.Store(time.Now().Unix())
	g := startDouble(t)
	c := g.channel(func(c *Config) { c.Now = func() time.Time { return time.Unix(now.Load(), 0) } })
	for _, step := range []struct {
		after  int64
		tokens int
	}{{0, 1}, {0, 1}, {3539, 1}, {1, 2}, {1, 2}} {
		now.Add(step.after)
		if err := c.Send(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
		if g.fetches() != step.tokens {
			t.Errorf("%d s later: %d tokens, want %d", step.after, g.fetches(), step.tokens)
		}
	}
}

// A token that Google refuses is replaced once; one that stays refused is the operator's.
func TestRefusedAccessToken(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	c := g.channel(nil)
	if err := c.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	g.set(func() { g.tokens = append(g.tokens, "revoked-by-google") })
	if err := c.Send(t.Context(), message()); err != nil {
		t.Errorf("the new token was not used: %v", err)
	}
	if g.fetches() != 3 {
		t.Errorf("%d tokens", g.fetches())
	}

	g.set(func() { g.say = unauthenticated })
	e := refused(t, c.Send(t.Context(), message()))
	if e.Reason != push.Credentials || !e.Permanent {
		t.Errorf("%+v", e)
	}
	if n := g.attempts(); n != 4 || g.fetches() != 4 {
		t.Errorf("%d attempts with %d tokens; want one more than before, and again with a new token", n, g.fetches())
	}
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		say   reply
		want  push.Reason
		pause time.Duration
		text  string
	}{
		{"account gone", reply{status: 400, body: `{"error":"invalid_grant"}`}, push.Credentials, 0, "invalid_grant"},
		{"key revoked", reply{status: 401, body: "<html>"}, push.Credentials, 0, "Unauthorized"},
		{"busy", reply{status: 429}.after("5"), push.Unavailable, 5 * time.Second, "Too Many Requests"},
		{"away", reply{status: 503}.after("6"), push.Unavailable, 6 * time.Second, "Service Unavailable"},
		{"empty", reply{status: 200, body: "{}"}, push.Unavailable, 0, "no access_token"},
		{"a page for people", reply{status: 200, body: "<html>"}, push.Unavailable, 0, "access token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := startDouble(t)
			g.sayToken = func(int) reply { return c.say }
			e := refused(t, g.channel(nil).Send(t.Context(), message()))
			if e.Reason != c.want || e.RetryAfter != c.pause || e.Permanent != c.want.Permanent() ||
				!strings.Contains(e.Error(), c.text) {
				t.Errorf("%+v", e)
			}
			if g.fetches() != 1 || g.attempts() != 0 {
				t.Errorf("%d requests for a token, %d messages", g.fetches(), g.attempts())
			}
		})
	}
}

// Of many that need a token one fetches it, and a fetch that hangs holds each no longer than its own time.
func TestTokenFetchHangs(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	c := g.channel(nil)
	reached := g.hang("/token")
	first, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	firstDone, secondDone := make(chan error, 1), make(chan error, 1)
	go func() { firstDone <- c.Send(first, message()) }()
	<-reached
	second, secondGivesUp := context.WithCancel(t.Context())
	go func() { secondDone <- c.Send(second, message()) }()
	secondGivesUp()
	if e := refused(t, <-secondDone); e.Reason != push.Timeout {
		t.Errorf("the one that waits: %+v", e)
	}
	giveUp()
	if e := refused(t, <-firstDone); e.Reason != push.Timeout || !errors.Is(e, context.Canceled) {
		t.Errorf("the one that fetches: %+v", e)
	}
	g.hang("nowhere")
	if err := c.Send(t.Context(), message()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	c := g.channel(nil)
	if err := c.Check(t.Context()); err != nil {
		t.Errorf("all is well: %v", err)
	}
	g.set(func() { g.say = refusal(403, "PERMISSION_DENIED", "", "FCM API has not been used") })
	if e := refused(t, c.Check(t.Context())); e.Reason != push.Credentials {
		t.Errorf("API off: %v", e)
	}
	bad := startDouble(t)
	bad.sayToken = func(int) reply { return reply{status: 400, body: `{"error":"invalid_grant"}`} }
	if e := refused(t, bad.channel(nil).Check(t.Context())); e.Reason != push.Credentials {
		t.Errorf("no token: %v", e)
	}
	gone := startDouble(t)
	c = gone.channel(nil)
	gone.Close()
	if e := refused(t, c.Check(t.Context())); e.Reason != push.Unavailable {
		t.Errorf("nobody there: %v", e)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	g := startDouble(t)
	good := g.credentials()
	without := func(field string, value any) []byte {
		var doc map[string]any
		if err := json.Unmarshal(good, &doc); err != nil {
			t.Fatal(err)
		}
		doc[field] = value
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	damaged := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("sesame")}))
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		conf Config
		want string // in the error; "" for none
	}{
		"text":                 {Config{CredentialsJSON: good}, ""},
		"file":                 {Config{CredentialsFile: file}, ""},
		"other project":        {Config{CredentialsJSON: without("project_id", ""), Project: "p"}, ""},
		"nothing":              {Config{}, "neither"},
		"both":                 {Config{CredentialsJSON: good, CredentialsFile: file}, "both"},
		"no file":              {Config{CredentialsFile: file + "x"}, "no such file"},
		"not JSON":             {Config{CredentialsJSON: []byte("sesame")}, "service account"},
		"another kind":         {Config{CredentialsJSON: without("type", "authorized_user")}, "service account"},
		"no mail":              {Config{CredentialsJSON: without("client_email", "")}, "client_email"},
		"no key":               {Config{CredentialsJSON: without("private_key", "sesame")}, "PEM"},
		"damaged key":          {Config{CredentialsJSON: without("private_key", damaged)}, "PKCS"},
		"relative token URL":   {Config{CredentialsJSON: without("token_uri", "/sesame")}, "token_uri"},
		"no project":           {Config{CredentialsJSON: without("project_id", "")}, "project"},
		"a path for a project": {Config{CredentialsJSON: good, Project: "p/../q"}, "project"},
		"relative base URL":    {Config{CredentialsJSON: good, BaseURL: "localhost:1"}, "base URL"},
	} {
		_, err := New(c.conf)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sesame")):
			t.Errorf("%s: error %v, want %q in it, and nothing of the key", name, err, c.want)
		}
	}
}

package fcm_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/simulator/fcm"
)

// ring sends a message of a priority; title is "" for one that shows nothing.
func (r raw) ring(t *testing.T, priority, mark, title string) {
	t.Helper()
	notification := ""
	if title != "" {
		notification = `,"notification":{"title":"` + title + `"}`
	}
	status, body := r.send(t, `{"message":{"token":"phone-001","data":{"m":"`+mark+`"},"android":{"priority":"`+priority+`","ttl":"3600s"`+notification+`}}}`)
	if status != 200 {
		t.Fatalf("send: %d %s", status, body)
	}
}

// arrived is what a phone has got, without waiting.
func arrived(c <-chan fcm.Message) []string {
	var out []string
	for {
		select {
		case m := <-c:
			out = append(out, m.Data["m"])
		default:
			return out
		}
	}
}

func expectArrived(t *testing.T, when string, c <-chan fcm.Message, want ...string) {
	t.Helper()
	if got := arrived(c); !slices.Equal(got, want) {
		t.Errorf("%s: %v arrived, not %v", when, got, want)
	}
}

// G1: a phone in Doze gets what is of priority high at once, and all else in a window of maintenance or when it wakes; what has no time
// left is gone, and of two with one collapse key the newer one is there.
func TestDoze(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	phone := r.subscribe(t)
	if status, _ := r.do(t, http.MethodPut, "/-/addresses/phone-001/device", `{"doze": true}`); status != http.StatusNoContent {
		t.Fatalf("put to sleep: %d", status)
	}
	r.ring(t, "normal", "first", "")
	r.ring(t, "high", "urgent", "Log in?")
	expectArrived(t, "asleep", phone, "urgent")
	r.push(t, "0s", "", "now or never")
	r.push(t, "30s", "", "short")
	r.push(t, "3600s", "k", "old")
	r.push(t, "3600s", "k", "new")
	if got := deliveries(r.double, "phone-001"); !slices.Equal(got, []fcm.Delivery{fcm.Dozing, fcm.Delivered, fcm.Expired, fcm.Dozing, fcm.Collapsed, fcm.Dozing}) {
		t.Errorf("%v", got)
	}
	// Whoever connects anew is not awake by that.
	again := r.subscribe(t)
	expectArrived(t, "connected anew", again)
	r.clock.Advance(31 * time.Second)
	if status, _ := r.do(t, http.MethodPost, "/-/addresses/phone-001/maintenance", ""); status != http.StatusNoContent {
		t.Fatalf("maintenance: %d", status)
	}
	expectArrived(t, "in a window of maintenance", phone, "first", "new")
	r.ring(t, "normal", "after", "")
	expectArrived(t, "after it", phone)
	if err := r.double.SetDevice("phone-001", fcm.Device{}); err != nil {
		t.Fatal(err)
	}
	expectArrived(t, "awake", phone, "after")
	r.ring(t, "normal", "at once", "")
	expectArrived(t, "awake", phone, "at once")

	// All phones at a time.
	if err := r.double.SetConditions(fcm.Conditions{Doze: true}); err != nil {
		t.Fatal(err)
	}
	r.ring(t, "normal", "night", "")
	expectArrived(t, "at night", phone)
	if err := r.double.SetConditions(fcm.Conditions{}); err != nil {
		t.Fatal(err)
	}
	expectArrived(t, "in the morning", phone, "night")
}

// G1: messages of priority high that show nothing have those that follow count as normal, for seven days; what is shown does not count.
func TestDemotion(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	if err := r.double.SetConditions(fcm.Conditions{DemoteAfter: 2, Doze: true}); err != nil {
		t.Fatal(err)
	}
	phone := r.subscribe(t)
	for range 3 {
		r.ring(t, "high", "seen", "Log in?") // the system shows it
	}
	r.ring(t, "high", "told", "")
	shown := <-phone
	for shown.Data["m"] != "told" {
		shown = <-phone
	}
	if status, _ := r.do(t, http.MethodPost, "/-/addresses/phone-001/shown", `{"id":"`+shown.ID+`"}`); status != http.StatusNoContent {
		t.Fatal(status)
	}
	r.ring(t, "high", "unseen", "")
	r.ring(t, "high", "unseen", "")
	expectArrived(t, "before the demotion", phone, "unseen", "unseen")
	r.ring(t, "high", "demoted", "Log in?")
	expectArrived(t, "demoted, in Doze", phone)
	records := r.double.History(fcm.Filter{Address: "phone-001"})
	if last := records[len(records)-1]; !last.Demoted || last.Delivery != fcm.Dozing {
		t.Errorf("%+v", last)
	}
	r.double.Maintain("phone-001")
	if m := <-phone; m.High || !m.Demoted {
		t.Errorf("%+v", m)
	}
	r.clock.Advance(7 * 24 * time.Hour)
	r.token = r.renew(t)
	r.ring(t, "high", "a week later", "")
	expectArrived(t, "a week later", phone, "a week later")
	// On command, whatever was shown.
	if err := r.double.SetDevice("phone-001", fcm.Device{Demoted: true}); err != nil {
		t.Fatal(err)
	}
	r.ring(t, "high", "demoted", "Log in?")
	expectArrived(t, "demoted on command", phone)
}

// G1: the rate of messages to one device has quotas of its own, with Retry-After, beside the project's.
func TestDeviceQuota(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	if err := r.double.SetConditions(fcm.OriginalQuotas()); err != nil {
		t.Fatal(err)
	}
	to := func(address string) (int, string) {
		t.Helper()
		req := httptest.NewRequestWithContext(r.ctx, http.MethodPost, "/v1/projects/countersign-demo/messages:send", body(address))
		req.Header.Set("Authorization", "Bearer "+r.token)
		res := httptest.NewRecorder()
		r.double.ServeHTTP(res, req)
		return res.Code, res.Header().Get("Retry-After")
	}
	sent := 0
	for minute := range 21 {
		for i := range 241 {
			status, after := to("phone-001")
			switch {
			case status == http.StatusOK:
				sent++
			case status != http.StatusTooManyRequests || after == "":
				t.Fatalf("minute %d, message %d: %d, Retry-After %q", minute, i, status, after)
			}
			if i == 239 && minute < 20 && status != http.StatusOK {
				t.Fatalf("minute %d: the 240th message: %d", minute, status)
			}
			if i == 240 && status != http.StatusTooManyRequests {
				t.Fatalf("minute %d: the 241st message: %d", minute, status)
			}
		}
		r.clock.Advance(time.Minute)
	}
	if sent != 5000 {
		t.Errorf("%d messages within the hour", sent)
	}
	if status, _ := to("phone-002"); status != http.StatusOK {
		t.Errorf("another device: %d", status)
	}
	if err := r.double.SetConditions(fcm.Conditions{DeviceQuotas: []fcm.Quota{{Messages: 0}}}); err == nil {
		t.Error("a quota of nothing is taken")
	}
}

// G1: every row of the error table comes by address, by rate and by time window, each as it is on the wire.
func TestEveryErrorInEveryWay(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		code   fcm.Code
		http   int
		status string
		fcm    bool
	}{
		{fcm.Unregistered, 404, "NOT_FOUND", true},
		{fcm.InvalidArgument, 400, "INVALID_ARGUMENT", true},
		{fcm.SenderIDMismatch, 403, "PERMISSION_DENIED", true},
		{fcm.QuotaExceeded, 429, "RESOURCE_EXHAUSTED", true},
		{fcm.Unavailable, 503, "UNAVAILABLE", true},
		{fcm.Internal, 500, "INTERNAL", true},
		{fcm.ThirdPartyAuthError, 401, "UNAUTHENTICATED", true},
		{fcm.InvalidField, 400, "INVALID_ARGUMENT", false},
		{fcm.Unauthenticated, 401, "UNAUTHENTICATED", false},
		{fcm.PermissionDenied, 403, "PERMISSION_DENIED", false},
	} {
		t.Run(string(row.code), func(t *testing.T) {
			t.Parallel()
			r := setupRaw(t, fcm.Options{AcceptAny: true})
			check := func(way string, body string) {
				t.Helper()
				status, text := r.send(t, body)
				var got errorReply
				if err := json.Unmarshal(text, &got); err != nil || status != row.http || got.Error.Status != row.status || got.Error.Code != row.http {
					t.Errorf("%s: %d %s", way, status, text)
					return
				}
				named := len(got.Error.Details) == 1 && got.Error.Details[0].ErrorCode == string(row.code)
				if named != row.fcm {
					t.Errorf("%s: details %+v", way, got.Error.Details)
				}
			}
			const one, other = `{"message":{"token":"phone-001"}}`, `{"message":{"token":"phone-002"}}`
			good := func(way, body string) {
				t.Helper()
				if status, text := r.send(t, body); status != http.StatusOK {
					t.Errorf("%s: %d %s", way, status, text)
				}
			}
			if err := r.double.SetScript("phone-001", fcm.Script{Steps: []fcm.Step{{Error: row.code}}}); err != nil {
				t.Fatal(err)
			}
			good("another address", other)
			check("by address", one)
			good("after the script", one)
			if err := r.double.SetConditions(fcm.Conditions{ErrorRate: 1, Errors: []fcm.Code{row.code}}); err != nil {
				t.Fatal(err)
			}
			check("by rate", other)
			now := r.clock.Now()
			err := r.double.SetConditions(fcm.Conditions{Outages: []fcm.Outage{{From: now.Add(time.Minute), Until: now.Add(2 * time.Minute), Error: row.code}}})
			if err != nil {
				t.Fatal(err)
			}
			good("before the window", one)
			r.clock.Advance(time.Minute)
			check("in the window", one)
			r.clock.Advance(time.Minute)
			good("after the window", one)
		})
	}
}

func body(address string) *strings.Reader {
	return strings.NewReader(`{"message":{"token":"` + address + `"}}`)
}

// renew fetches another bearer token: that of the beginning has an hour.
func (r raw) renew(t *testing.T) string {
	t.Helper()
	status, text := r.askToken(t, r.assertion(t, nil, nil))
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &got); err != nil || status != http.StatusOK {
		t.Fatalf("token: %d %s", status, text)
	}
	return got.AccessToken
}

package mobile

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/secret"
	"countersign/mobile/wire"
)

// A device token is demanded on every device operation, and is good for the device in the path alone (core.md §4.7,
// flaws 1 to 3).
func TestDeviceTokenIsDemandedAndBoundToThePath(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	other, otherToken := b.phone(b.makeUser("eve"))
	tx := b.ask(device, b.user, b.service.Bus.Node())
	_, unused := b.enrolling(b.user)
	bodies := map[string]any{
		wire.ActionStatus:   nil,
		wire.ActionPushKey:  wire.PushKey{FirebaseKey: "an-address"},
		wire.ActionCheckIn:  info(),
		wire.ActionResponse: wire.Response{TxID: tx.String(), SelectedItem: "22"},
		wire.ActionPending:  nil,
	}
	for action, body := range bodies {
		method := http.MethodPost
		if action == wire.ActionPending {
			method = http.MethodGet
		}
		for name, c := range map[string]struct {
			device string
			token  string
			status int
		}{
			"no token":           {device.String(), "", 403},
			"unknown token":      {device.String(), "nonsense", 403},
			"foreign token":      {device.String(), otherToken, 404},
			"foreign device":     {other.String(), token, 404},
			"unknown device":     {uuid.NewString(), token, 404},
			"not a uuid":         {"nonsense", token, 404},
			"enrolment token":    {device.String(), unused, 403},
			"token in lowercase": {device.String(), strings.ToLower(token) + "x", 403},
		} {
			if action == wire.ActionStatus && name == "enrolment token" {
				c.status = 404 // it is a good token there, of another device
			}
			status, reply := b.callAt(b.server, method, c.device, action, c.token, body)
			if status != c.status {
				t.Errorf("%s, %s: %d %s, want %d", action, name, status, reply, c.status)
			}
		}
	}
	if got := value[string](b, `SELECT status FROM mobile_transactions WHERE tx_id = $1`, tx); got != statusWait {
		t.Errorf("a refused answer changed the prompt to %s", got)
	}
	if got := value[*string](b, `SELECT push_address FROM mobile_devices WHERE uuid = $1`, device); got != nil {
		t.Errorf("a refused call set the push address to %s", *got)
	}
}

// Enrolment happens once, with an unexpired one-time token (flaws 5 and 7), and its tokens are stored hashed (flaw 6).
func TestEnrolmentIsOneTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, once := b.enrolling(b.user)
	body := wire.Enrollment{DeviceUID: "uid-1", Info: info()}

	const racers = 20
	var wg sync.WaitGroup
	statuses := make([]int, racers)
	tokens := make([]string, racers)
	for i := range racers {
		wg.Go(func() {
			status, reply, err := request(t.Context(), b.server.URL+"/"+wire.Path(device.String(), wire.ActionEnrol), "POST", once, body)
			if err != nil {
				t.Error(err)
			}
			var got wire.EnrollmentCallback
			_ = json.Unmarshal(reply, &got)
			statuses[i], tokens[i] = status, got.Token
		})
	}
	wg.Wait()
	won := ""
	for i, status := range statuses {
		switch {
		case status == 200 && won == "":
			won = tokens[i]
		case status != 403:
			t.Errorf("racer %d: %d", i, status)
		}
	}
	if won == "" {
		t.Fatal("nobody enrolled")
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_tokens WHERE device = $1`, device); n != 1 {
		t.Errorf("%d tokens are left, want the device's own", n)
	}
	if value[bool](b, `SELECT EXISTS (SELECT FROM mobile_tokens WHERE token_hash = $1::bytea)`, []byte(won)) {
		t.Error("the token is stored readable")
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE action = 'model_created' AND context->'model'->>'model_name' = 'mobiledevice'`); n != 1 {
		t.Errorf("%d events tell of the enrolment, want 1", n)
	}

	late, token := b.enrolling(b.user)
	b.clock.move(enrollmentWindow)
	if status, reply := b.call(late, wire.ActionEnrol, token, wire.Enrollment{DeviceUID: "uid-2", Info: info()}); status != 403 {
		t.Errorf("an expired enrolment token: %d %s", status, reply)
	}
}

func TestEnrolmentRefusesASecondPhoneOfOneName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	enrol := func(owner int) (int, string) {
		device, once := b.enrolling(owner)
		status, reply := b.call(device, wire.ActionEnrol, once, wire.Enrollment{DeviceUID: "same", Info: info()})
		return status, string(reply)
	}
	if status, reply := enrol(b.user); status != 200 {
		t.Fatalf("first: %d %s", status, reply)
	}
	if status, reply := enrol(b.user); status != 400 || !strings.Contains(reply, "device_uid") {
		t.Errorf("the same phone for the same user: %d %s", status, reply)
	}
	if status, reply := enrol(b.makeUser("bob")); status != 200 {
		t.Errorf("the same phone for another user: %d %s", status, reply)
	}
}

// Bad input names the field, and changes nothing (flaw 20 for the sizes).
func TestDeviceInputIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	before := value[string](b, `SELECT info::text FROM mobile_devices WHERE uuid = $1`, device)
	long := strings.Repeat("x", 5000)
	bad := info()
	bad.Platform = "toaster"
	many := info()
	many.Others = map[string]any{"blob": strings.Repeat("x", wire.MaxOthersBytes)}
	for name, c := range map[string]struct {
		action string
		body   any
		status int
		field  string
	}{
		"platform":         {wire.ActionCheckIn, bad, 400, "platform"},
		"missing":          {wire.ActionCheckIn, []byte(`{"platform":"ios"}`), 400, "hostname"},
		"null":             {wire.ActionCheckIn, []byte(`{"platform":null,"os_version":"1","model":"m","hostname":"h","app_version":"1","others":{}}`), 400, "platform"},
		"others too big":   {wire.ActionCheckIn, many, 400, "others"},
		"others a list":    {wire.ActionCheckIn, []byte(`{"platform":"ios","os_version":"1","model":"m","hostname":"h","app_version":"1","others":[]}`), 400, "others"},
		"key too long":     {wire.ActionPushKey, wire.PushKey{FirebaseKey: long}, 400, "firebase_key"},
		"key blank":        {wire.ActionPushKey, wire.PushKey{}, 400, "firebase_key"},
		"key a number":     {wire.ActionPushKey, []byte(`{"firebase_key":{}}`), 400, "firebase_key"},
		"tx no uuid":       {wire.ActionResponse, wire.Response{TxID: "x", SelectedItem: "1"}, 400, "tx_id"},
		"item blank":       {wire.ActionResponse, wire.Response{TxID: uuid.NewString()}, 400, "selected_item"},
		"not JSON":         {wire.ActionResponse, []byte(`{`), 400, "JSON parse error"},
		"a list":           {wire.ActionResponse, []byte(`[]`), 400, "Invalid data"},
		"body over limit":  {wire.ActionCheckIn, []byte(`{"hostname":"` + strings.Repeat("x", wire.MaxBodyBytes) + `"}`), 413, "larger"},
		"unknown prompt":   {wire.ActionResponse, wire.Response{TxID: uuid.NewString(), SelectedItem: "1"}, 404, "Not found."},
		"NUL in the text":  {wire.ActionPushKey, []byte(`{"firebase_key":"a\u0000b"}`), 400, "firebase_key"},
		"uid in check-in?": {wire.ActionCheckIn, []byte(`null`), 400, ""},
	} {
		status, reply := b.call(device, c.action, token, c.body)
		if status != c.status || !strings.Contains(string(reply), c.field) {
			t.Errorf("%s: %d %s, want %d about %q", name, status, reply, c.status, c.field)
		}
	}
	if status, reply := b.callAt(b.server, http.MethodDelete, device.String(), wire.ActionCheckIn, token, nil); status != 405 {
		t.Errorf("wrong method: %d %s", status, reply)
	}
	if after := value[string](b, `SELECT info::text FROM mobile_devices WHERE uuid = $1`, device); after != before {
		t.Errorf("bad input changed the device: %s", after)
	}
}

func TestStatusIsForThePhoneAndTheBrowserThatEnrols(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, once := b.enrolling(b.user)
	ask := func(cookie *http.Cookie, wait string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.server.URL+"/"+wire.Path(device.String(), wire.ActionStatus)+wait, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != nil {
			req.AddCookie(cookie)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got wire.EnrollmentStatus
		_ = json.NewDecoder(resp.Body).Decode(&got)
		return resp.StatusCode, string(got.Status)
	}
	own, ownCookie, err := b.service.Sessions.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, strange, err := b.service.Sessions.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE mobile_devices SET enrollment_session = $2 WHERE uuid = $1`, device, own.UUID)
	if status, _ := ask(nil, ""); status != 403 {
		t.Errorf("without credentials: %d", status)
	}
	if status, _ := ask(strange, ""); status != 404 {
		t.Errorf("another browser: %d", status)
	}
	if status, got := ask(ownCookie, ""); status != 200 || got != "waiting" {
		t.Errorf("the browser that enrols: %d %s", status, got)
	}
	// Held until the phone calls in.
	done := make(chan string, 1)
	go func() {
		_, got := ask(ownCookie, "?wait=20")
		done <- got
	}()
	for b.service.waiters.count(device) == 0 {
		time.Sleep(time.Millisecond) // until the request has subscribed
	}
	if status, reply := b.call(device, wire.ActionEnrol, once, wire.Enrollment{DeviceUID: "u", Info: info()}); status != 200 {
		t.Fatalf("enrol: %d %s", status, reply)
	}
	select {
	case got := <-done:
		if got != "success" {
			t.Errorf("held status: %s", got)
		}
	case <-time.After(5 * time.Second):
		t.Error("the held status did not end with the enrolment")
	}
}

func TestCleanUpCollectsAbandonedEnrolments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	kept, _ := b.phone(b.user)
	gone, token := b.enrolling(b.user)
	tx := b.ask(kept, b.user, b.service.Bus.Node())
	b.clock.move(abandoned + time.Second)
	if err := b.service.CleanUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if value[bool](b, `SELECT EXISTS (SELECT FROM mobile_devices WHERE uuid = $1)`, gone) {
		t.Error("the abandoned enrolment is still there")
	}
	if value[bool](b, `SELECT EXISTS (SELECT FROM mobile_tokens WHERE token_hash = $1)`, secret.Hash(token)) {
		t.Error("its token is still there")
	}
	if !value[bool](b, `SELECT EXISTS (SELECT FROM mobile_devices WHERE uuid = $1)`, kept) {
		t.Error("a phone was collected")
	}
	if got := value[string](b, `SELECT status FROM mobile_transactions WHERE tx_id = $1`, tx); got != statusExpired {
		t.Errorf("an old prompt is %s", got)
	}
}

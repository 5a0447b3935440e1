package mobile

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/event"
	"countersign/mobile/wire"
)

// coded makes an enrolment with a code, as the stage does.
func (b *bench) coded(owner int) (device uuid.UUID, code, token string) {
	b.t.Helper()
	device, token = b.enrolling(owner)
	code, hash, err := b.service.newCode()
	if err != nil {
		b.t.Fatal(err)
	}
	b.exec(`INSERT INTO mobile_enrollments (device, code_hash, expires) VALUES ($1, $2, $3)`, device, hash, b.clock.now().Add(enrollmentWindow))
	return device, code, token
}

// redeem exchanges a code over HTTP.
func (b *bench) redeem(code string) (status int, p wire.Payload, text string, header http.Header) {
	b.t.Helper()
	res, err := http.Post(b.server.URL+"/"+wire.RedeemPath, "application/json", strings.NewReader(`{"code":"`+code+`"}`))
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var raw json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&raw); err != nil {
		b.t.Fatal(err)
	}
	_ = json.Unmarshal(raw, &p)
	return res.StatusCode, p, string(raw), res.Header
}

// T18: a code is exchanged once, in whatever spelling, for a token that only the redeemer has; a second try is refused as an
// unknown code is, and the page that shows it is told.
func TestCodeIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, code, shown := b.coded(b.user)
	status, p, text, _ := b.redeem(strings.ToLower(wire.ShowCode(code)))
	if status != 200 || p.Device != device.String() || p.URL != b.server.URL+"/" || p.Token == "" || p.Token == shown {
		t.Fatalf("%d %s", status, text)
	}
	if at, err := b.service.underway(t.Context(), b.pool, device); err != nil || at.Progress != wire.Opened {
		t.Errorf("after it: %+v %v", at, err)
	}
	body := wire.Enrollment{DeviceUID: uuid.NewString(), Info: info()}
	if status, reply := b.call(device, wire.ActionEnrol, shown, body); status != 403 {
		t.Errorf("the token of the QR code still enrols: %d %s", status, reply)
	}
	if status, reply := b.call(device, wire.ActionEnrol, p.Token, body); status != 400 || !strings.Contains(string(reply), `"keys"`) {
		t.Errorf("a phone without keys: %d %s", status, reply)
	}
	_, _, unknown, _ := b.redeem("0000-0000-00")
	for range 2 {
		if status, _, text, _ := b.redeem(code); status != 404 || text != unknown {
			t.Errorf("again: %d %s, an unknown one says %s", status, text, unknown)
		}
	}
	if at, err := b.service.underway(t.Context(), b.pool, device); err != nil || at.Progress != wire.Contested {
		t.Errorf("after the second: %+v %v", at, err)
	}
	for _, action := range []event.Action{actionOpened, actionContested} {
		n := value[int](b, `SELECT count(*) FROM events WHERE action = $1 AND "user"->>'username' = 'ada' AND context->'device'->>'pk' = replace($2::text, '-', '')`, action, device.String())
		if n != 1 {
			t.Errorf("%d events %s", n, action)
		}
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_enrollments e, events v WHERE position($1::bytea IN e.code_hash) > 0 OR v.context::text LIKE '%' || $2 || '%'`, []byte(code), code); n != 0 {
		t.Error("the code is stored, or in an event")
	}
}

// T18: of phones that redeem one code in the same moment one wins.
func TestParallelRedeemHasOneWinner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, code, _ := b.coded(b.user)
	var won, lost int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			status, _, _, _ := b.redeem(code)
			mu.Lock()
			defer mu.Unlock()
			switch status {
			case 200:
				won++
			case 404:
				lost++
			}
		})
	}
	all.Wait()
	if won != 1 || lost != 7 {
		t.Errorf("%d won, %d lost", won, lost)
	}
}

func TestCodeEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, end := range map[string]func(uuid.UUID){
		"time":     func(uuid.UUID) { b.clock.move(enrollmentWindow) },
		"owner":    func(uuid.UUID) { b.exec(`UPDATE users SET is_active = false WHERE id = $1`, b.user) },
		"enrolled": func(d uuid.UUID) { b.exec(`UPDATE mobile_devices SET confirmed = true WHERE uuid = $1`, d) },
		"removed":  func(d uuid.UUID) { b.exec(`DELETE FROM mobile_devices WHERE uuid = $1`, d) },
	} {
		b.exec(`UPDATE users SET is_active = true`)
		device, code, _ := b.coded(b.user)
		end(device)
		if status, _, text, _ := b.redeem(code); status != 404 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for _, bad := range []string{"", "7KQ2", "7KQ2-M9XW-4CU", "UUUU-UUUU-UU"} {
		if status, _, text, _ := b.redeem(bad); status != 400 || !strings.Contains(text, `"code"`) {
			t.Errorf("%q: %d %s", bad, status, text)
		}
	}
}

// T18: codes are guessed so often from one network, then not for a while; right ones do not count.
func TestGuessingCodesIsSlowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	count := map[int]int{}
	for range codeTries + 5 {
		all.Go(func() {
			status, _, _, _ := b.redeem("0000-0000-00")
			mu.Lock()
			defer mu.Unlock()
			count[status]++
		})
	}
	all.Wait()
	if count[404] != codeTries || count[429] != 5 {
		t.Fatalf("statuses %v", count)
	}
	_, code, _ := b.coded(b.user)
	status, _, text, header := b.redeem(code)
	if status != 429 || header.Get("Retry-After") != "600" {
		t.Fatalf("a right code: %d %s, Retry-After %s", status, text, header.Get("Retry-After"))
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE action = $1`, event.SuspiciousRequest); n != 1 {
		t.Errorf("%d events", n)
	}
	b.clock.move(codeWindow + time.Second)
	for range codeTries + 1 {
		_, code, _ = b.coded(b.user)
		if status, _, text, _ := b.redeem(code); status != 200 {
			t.Fatalf("later: %d %s", status, text)
		}
	}
	b.clock.move(codeWindow + time.Second)
	if err := b.service.CleanUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_code_tries`); n != 0 {
		t.Errorf("%d networks are kept", n)
	}
}

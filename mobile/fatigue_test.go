package mobile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/bus"
	"countersign/core/fault"
	"countersign/flows"
	"countersign/mobile/wire"
)

// otherKinds are other factors: whoever has the attribute "code" may type "right", and with "passkey" have it as a passkey.
func otherKinds() []*authenticators.Kind {
	kind := func(class, field, attribute string) *authenticators.Kind {
		return &authenticators.Kind{
			Class: class, Label: class, Plural: class, Model: "test." + class, Type: "test." + class,
			Query: "SELECT 1 AS pk, '1' AS uid, id AS user_id, 'Other' AS name, true AS confirmed, date_joined AS created FROM users WHERE attributes ? '" + attribute + "'",
			Field: field, Method: otherMethod(class),
		}
	}
	return []*authenticators.Kind{kind("static", "code", "code"), kind("webauthn", "webauthn", "passkey")}
}

type otherMethod string

func (m otherMethod) Offer(context.Context, *flows.Run, []authenticators.Device) ([]*authenticators.Offer, error) {
	return []*authenticators.Offer{{Class: string(m), UID: "1", Name: "Other"}}, nil
}

func (otherMethod) Show(context.Context, *flows.Run, *authenticators.Offer) (map[string]any, error) {
	return map[string]any{}, nil
}

func (otherMethod) Select(context.Context, *flows.Run, *authenticators.Offer) (fault.Fields, error) {
	return nil, nil
}

func (otherMethod) Answer(_ context.Context, _ *flows.Run, _ *authenticators.Offer, typed json.RawMessage) (flows.Outcome, error) {
	if !strings.Contains(string(typed), "right") {
		return flows.StayField("code", "invalid", "Wrong."), nil
	}
	return flows.Next(), nil
}

// at is a new browser at an address.
func (l *logins) at(address string) *tab {
	x := l.tab()
	x.from = address
	return x
}

// later is the same browser when its session is over, at an address.
func (x *tab) later(l *logins, address string) *tab {
	l.t.Helper()
	y := l.at(address)
	site, err := url.Parse(l.site.URL)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range x.client.Jar.Cookies(site) {
		if c.Name == "countersign_browser" {
			y.client.Jar.SetCookies(site, []*http.Cookie{c})
		}
	}
	return y
}

// logsIn approves a login of ada in a browser and tells whether it worked.
func (l *logins) logsIn(x *tab, device uuid.UUID, token string) error {
	l.t.Helper()
	r := x.begin("ada", device)
	if code := r.code("mobile"); code != "" {
		return fmt.Errorf("the phone is not asked: %s %v", code, r.ResponseErrors)
	}
	held := x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		return fmt.Errorf("the answer is refused: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		return fmt.Errorf("not let in: %+v", after)
	}
	return nil
}

// T7, T8, G5: two hundred tries in ten minutes ring the phone three times at the most, wherever they come from and whatever
// the phone answers; the owner gets in every time: in a browser that is known, at a network that is known where nobody
// shares it, and with another factor.
func TestPushBombingSparesTheOwner(t *testing.T) {
	t.Parallel()
	const home = "192.0.2.7"
	for name, c := range map[string]struct {
		from   func(i int) string
		denies bool
		shared bool // the attacker is in the owner's network
		same   bool // the attacker goes on in one browser
	}{
		"one stranger":               {from: func(int) string { return "198.51.100.1" }},
		"one stranger, one browser":  {from: func(int) string { return "198.51.100.1" }, same: true},
		"many addresses":             {from: func(i int) string { return fmt.Sprintf("198.51.%d.%d", i/200, i%200+1) }},
		"many IPv6 networks":         {from: func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) }},
		"behind the owner's router":  {from: func(int) string { return home }, shared: true},
		"from there and from others": {from: func(i int) string { return []string{home, "198.51.100.1", "203.0.113.9"}[i%3] }, shared: true},
		"all of it denied":           {from: func(int) string { return "198.51.100.1" }, denies: true},
		"denied behind the router":   {from: func(int) string { return home }, denies: true, shared: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := setupLogins(t)
			l.exec(`UPDATE users SET attributes = '{"code": true}'`)
			device, token := l.phone(l.user)
			own := l.at(home)
			if err := l.logsIn(own, device, token); err != nil {
				t.Fatal(err)
			}
			rings, evil := 0, l.at("")
			for i := range 200 {
				l.clock.move(3 * time.Second)
				if !c.same || i == 0 {
					evil = l.at(c.from(i))
				}
				before := len(l.push.jobs)
				if c.same && i > 0 {
					evil.send(choose(device))
				} else {
					evil.begin("ada", device)
				}
				if len(l.push.jobs) > before {
					rings++
					if c.denies {
						l.answer(device, token, wire.ItemDeny)
					}
				}
				if i%20 != 19 {
					continue
				}
				browser := own.later(l, fmt.Sprintf("203.0.113.%d", i))
				if err := l.logsIn(browser, device, token); err != nil {
					t.Errorf("try %d: in a known browser at a new address: %v", i, err)
				}
				own = browser
				if err := l.logsIn(l.at(home), device, token); err != nil && !c.shared {
					t.Errorf("try %d: in a new browser at a known address: %v", i, err)
				}
				x := l.at("203.0.113.250")
				x.send(map[string]any{"uid_field": "ada"})
				if r := x.send(map[string]any{"code": "right"}); r.Component != flows.ComponentRedirect {
					t.Errorf("try %d: with another factor: %+v", i, r)
				}
			}
			if rings > 3 || rings == 0 {
				t.Errorf("the phone rang %d times for the attacker", rings)
			}
			if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = 'suspicious_request'`); n != 1 {
				t.Errorf("the user is told %d times", n)
			}
		})
	}
}

// T7: pauses grow for an attacker who goes on for a day.
func TestPausesGrowOverADay(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, _ := l.phone(l.user)
	for range 24 * 12 {
		l.clock.move(5 * time.Minute)
		l.at("198.51.100.1").begin("ada", device)
	}
	if n := len(l.push.jobs); n > 12 || n < 5 {
		t.Errorf("the phone rang %d times in a day", n)
	}
}

// T7: of fifty logins that begin at once, on two nodes and for two phones, no more ring than may.
func TestRingsAtOnceKeepTheBudget(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	memory := &bus.Memory{}
	one, _ := l.node(memory.Join())
	two, _ := l.node(memory.Join())
	one.Budget.Gap, two.Budget.Gap = 0, 0
	_, first := l.serve(one)
	_, second := l.serve(two)
	phone, _ := l.phone(l.user)
	other, _ := l.phone(l.user)
	tabs := make([]*tab, 50)
	for i := range tabs {
		tabs[i] = l.at(fmt.Sprintf("198.51.100.%d", i))
		if tabs[i].site = first; i%2 == 1 {
			tabs[i].site = second
		}
		if r := tabs[i].send(map[string]any{"uid_field": "ada"}); r.Component != validate.Component {
			t.Fatalf("%+v", r)
		}
	}
	var all sync.WaitGroup
	for i, x := range tabs {
		all.Go(func() {
			device := phone
			if i%3 == 0 {
				device = other
			}
			raw, err := json.Marshal(choose(device))
			if err != nil {
				t.Error(err)
				return
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, x.site.URL+"/api/v3/flows/executor/"+loginFlow+"/?query=", bytes.NewReader(raw))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("X-Forwarded-For", x.from)
			resp, err := x.client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	all.Wait()
	if n := len(l.push.jobs); n > 3 || n == 0 {
		t.Errorf("%d pushes, want three at the most", n)
	}
}

// T8: a stranger does not take the place of a question that the owner asked.
func TestStrangerDoesNotReplaceTheOwnersQuestion(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	own := l.at("192.0.2.7")
	if err := l.logsIn(own, device, token); err != nil {
		t.Fatal(err)
	}
	own = own.later(l, "203.0.113.1")
	r := own.begin("ada", device)
	held := own.await(l, device)
	after := l.at("198.51.100.1").begin("ada", device)
	if after.code("mobile") != "throttled" || after.shown(device)["paused_reason"] != "busy" {
		t.Errorf("the stranger gets %+v", after)
	}
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("the owner gets %+v", after)
	}
	if after := l.at("198.51.100.1").begin("ada", device); after.code("mobile") != "" {
		t.Errorf("the stranger, later: %+v", after)
	}
}

// T22: after a denial nothing rings by itself, however often the page looks, and a new login waits for a while.
func TestNothingRingsAfterADenial(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	x := l.at("198.51.100.1")
	x.begin("ada", device)
	held := x.await(l, device)
	if status := l.answer(device, token, wire.ItemDeny); status != 204 {
		t.Fatalf("answer: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentAccessDenied {
		t.Fatalf("after the denial: %+v", after)
	}
	for range 50 { // the page idles and is loaded again, and what it asked last is sent again
		l.clock.move(time.Second / 2)
		x.send(nil)
		x.send(map[string]any{"mobile": device.String()})
	}
	if n := len(l.push.jobs); n != 1 {
		t.Errorf("%d pushes, want the one that was denied", n)
	}
	if r := l.at("198.51.100.1").begin("ada", device); r.code("mobile") != "throttled" || len(l.push.jobs) != 1 {
		t.Errorf("a new login at once: %+v", r)
	}
	l.clock.move(5 * time.Second)
	if r := l.at("198.51.100.1").begin("ada", device); r.code("mobile") != "" || len(l.push.jobs) != 2 {
		t.Errorf("a new login after the pause: %+v", r)
	}
}

// A mark of a known browser is worth nothing for another user, changed, or when it is old.
func TestMarkOfAKnownBrowser(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.phone(l.user)
	own := l.at("192.0.2.7")
	if err := l.logsIn(own, device, token); err != nil {
		t.Fatal(err)
	}
	asked := func(x *tab, name string, device uuid.UUID) string {
		t.Helper()
		x.begin(name, device)
		return value[string](l.bench, `SELECT browser FROM mobile_transactions WHERE device = $1 AND status = 'wait'`, device)
	}
	if asked(own.later(l, "203.0.113.1"), "ada", device) == "" {
		t.Error("the browser is not known")
	}
	eve, _ := l.phone(l.makeUser("eve"))
	if id := asked(own.later(l, "203.0.113.1"), "eve", eve); id != "" {
		t.Error("the mark counts for another user")
	}
	l.exec(`DELETE FROM mobile_transactions WHERE status = 'wait'`)
	site, err := url.Parse(l.site.URL)
	if err != nil {
		t.Fatal(err)
	}
	forged := own.later(l, "203.0.113.1")
	for _, c := range forged.client.Jar.Cookies(site) {
		c.Value = "B" + c.Value[1:]
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		jar.SetCookies(site, []*http.Cookie{c})
		forged.client.Jar = jar
	}
	if asked(forged, "ada", device) != "" {
		t.Error("a changed mark counts")
	}
	l.exec(`DELETE FROM mobile_transactions WHERE status = 'wait'`)
	l.clock.move(30 * 24 * time.Hour)
	if asked(own.later(l, "203.0.113.1"), "ada", device) != "" {
		t.Error("an old mark counts")
	}
}

// shown is the challenge of a phone.
func (r reply) shown(device uuid.UUID) map[string]any {
	for _, d := range r.Devices {
		if d.UID == device.String() {
			return d.Challenge
		}
	}
	return nil
}

package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

// T1, T3: the whole way with what is typed: a number on the phone, mended and mistyped to the end; a code of the phone in the
// browser, mended, wrong to the end, and denied while the page asks for it.
func TestTypedLogins(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	_, rest, _ := strings.Cut(n.call(http.MethodGet, "/api/v3/stages/authenticator/mobile/", adminToken, nil).body, `"pk":"`)
	pk, _, _ := strings.Cut(rest, `"`)
	screen := &phone.Screen{}
	behaviour := phone.Approve(screen)
	p, account := n.enrolledAs(phone.Options{
		Signs: true, Verifies: true,
		Behaviour: func(ctx context.Context, p *phone.Phone, r phone.Ring) (string, error) { return behaviour(ctx, p, r) },
	})
	for _, c := range []struct {
		mode      string
		behaviour phone.Behaviour
		codes     int // wrong ones that are typed in the browser
		want      browser.Outcome
		wrong     int // numbers on the phone
	}{
		{"number_typed_2", phone.Approve(screen), 0, browser.Approved, 0},
		{"number_typed_6", phone.Mistype(2, screen, phone.Approve(screen)), 0, browser.Approved, 2},
		{"number_typed_3", phone.WrongNumber(screen), 0, browser.WrongNumber, 3},
		{"code_shown_6", phone.Approve(screen), 0, browser.Approved, 0},
		{"code_shown_6", phone.Approve(screen), 2, browser.Approved, 0},
		{"code_shown_6", phone.WrongNumber(screen), 0, browser.WrongNumber, 0},
		{"code_shown_6", phone.Approve(screen), 0, browser.Approved, 0},
		{"code_shown_6", phone.Deny, 0, browser.Denied, 0},
	} {
		behaviour = c.behaviour
		if got := n.call(http.MethodPatch, "/api/v3/stages/authenticator/mobile/"+pk+"/", adminToken, map[string]any{"answer_mode": c.mode}); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		b, err := browser.New(browser.Options{Base: n.base, OnItem: screen.Show, Code: reading(screen, c.codes)})
		if err != nil {
			t.Fatal(err)
		}
		result, err := b.Login(ctx, "akadmin", adminPassword)
		cancel()
		if err != nil || result.Outcome != c.want {
			t.Errorf("%s: %v %+v\n%v", c.mode, err, result, p.Timeline())
			continue
		}
		ring := p.Rings()[0]
		if ring.Wrong != c.wrong || string(ring.Mode) != c.mode || ring.Device != account.Device {
			t.Errorf("%s: the phone rang for %+v", c.mode, ring)
		}
	}
}

// reading types the code that the phone shows, after some wrong ones.
func reading(s *phone.Screen, wrong int) func(context.Context, string) (string, error) {
	return func(ctx context.Context, device string) (string, error) {
		code, err := s.Code(ctx, device)
		if err != nil || wrong == 0 {
			return code, err
		}
		wrong--
		return code[:5] + string('0'+(code[5]-'0'+1+byte(wrong))%10), nil
	}
}

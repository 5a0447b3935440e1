package phone_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
	"countersign/simulator/standin"
)

// stepped waits until the phone has done a step.
func (b bundle) stepped(t *testing.T, name string) phone.Step {
	t.Helper()
	for {
		changed := b.phone.Changed()
		for _, s := range b.phone.Timeline() {
			if s.Name == name {
				return s
			}
		}
		select {
		case <-changed:
		case <-b.ctx.Done():
			t.Fatalf("no step %s in %+v", name, b.phone.Timeline())
		}
	}
}

// login logs ada in, beside the caller.
func (b bundle) login(t *testing.T, s *phone.Screen) <-chan browser.Result {
	t.Helper()
	br, err := browser.New(browser.Options{Base: b.server.URL, Clock: b.clock, OnItem: s.Show})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan browser.Result, 1)
	go func() {
		r, _ := br.Login(b.ctx, "ada", "secret")
		done <- r
	}()
	return done
}

// Each kind of behaviour ends a login as it says that it does.
func TestKindsEndAsTheySay(t *testing.T) {
	t.Parallel()
	// What has to happen before the clock moves on, and by how much; and what waits for the clock then.
	type course struct {
		step   string
		timers int
		by     time.Duration
	}
	answered := course{phone.StepAnswered, 1, time.Minute}
	courses := map[string]course{
		"ignore": {phone.StepRang, 1, time.Minute}, "lose_key": {phone.StepNothing, 1, time.Minute}, "late": {phone.StepRang, 2, 81 * time.Second},
		"airplane_then_poll": {phone.StepMissed, 2, 20 * time.Second}, "app_killed": {phone.StepMissed, 2, 20 * time.Second},
		"other_device": answered, "tampered": answered, "wrong_alg": answered, "foreign_challenge": answered,
	}
	for _, kind := range phone.Behaviours() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			var screen phone.Screen
			b := setup(t, standin.Options{}, phone.Options{Signs: true, Verifies: true})
			delay := time.Duration(0)
			if c := courses[kind.Name]; c.by > 0 && c.by != time.Minute {
				delay = 20 * time.Second
			}
			if _, err := b.phone.Play(b.ctx, kind.Name, &screen, delay, ""); err != nil {
				t.Fatal(err)
			}
			done := b.login(t, &screen)
			if c := courses[kind.Name]; c.step != "" {
				b.stepped(t, c.step)
				b.clock.Await(c.timers)
				b.clock.Advance(c.by)
			}
			if r := <-done; !slices.Contains(kind.Outcomes, string(r.Outcome)) {
				t.Errorf("%+v, want one of %v\n%+v", r, kind.Outcomes, b.phone.Timeline())
			}
		})
	}
}

func TestUnknownKindsAndParameters(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	for _, c := range [][3]string{
		{"wrong_nubmer", "", "did you mean wrong_number?"}, {"aprove", "", "did you mean approve?"}, {"deny", "x", "behaviour deny: param"}, {"wrong_alg", "RS256", "RS256"},
		{"lose_key", "", "keys"},
	} {
		if _, err := b.phone.Play(b.ctx, c[0], &phone.Screen{}, 0, c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestReplayedAnswerIsTheFirstOne(t *testing.T) {
	t.Parallel()
	var screen phone.Screen
	b := setup(t, standin.Options{}, phone.Options{Signs: true})
	if _, err := b.phone.Play(b.ctx, "replay", &screen, 0, ""); err != nil {
		t.Fatal(err)
	}
	if r := <-b.login(t, &screen); r.Outcome != browser.Approved {
		t.Fatalf("the first login: %+v", r)
	}
	first := b.phone.Rings()[0]
	tx, _ := b.server.Ask("ada")
	r := b.await(t, func(r phone.Ring) bool { return r.TxID == tx && r.State != phone.Ringing })
	sent, _ := b.phone.Sent(tx)
	earlier, _ := b.phone.Sent(first.TxID)
	if r.State != phone.Failed || sent.Signed != earlier.Signed || sent.Signed == "" || b.server.AnswerTo(tx) != "" {
		t.Errorf("ring %+v, sent %+v", r, sent)
	}
	if want := []string{"answer: it is to another question"}; !slices.Equal(b.server.Refusals(), want) {
		t.Errorf("refused for %v", b.server.Refusals())
	}
}

func TestOldAppSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{Info: wire.Info{Platform: wire.IOS}})
	if _, err := b.phone.Play(b.ctx, "old_app", &phone.Screen{}, 0, "0.4"); err != nil {
		t.Fatal(err)
	}
	info := b.server.Info(b.phone.Accounts()[0].Device)
	marker, _ := info.Others["countersign"].(map[string]any)
	if _, shows := marker["transactions"]; info.AppVersion != "0.4" || info.Platform != wire.IOS || !info.CanFetch() || shows {
		t.Errorf("it says %+v", info)
	}
}

// counter counts the answers that go out, by path.
type counter struct {
	mu    sync.Mutex
	paths []string
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/"+wire.ActionResponse+"/") {
		c.mu.Lock()
		c.paths = append(c.paths, r.URL.Path)
		c.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestDoubleAnswerIsOneApproval(t *testing.T) {
	t.Parallel()
	var screen phone.Screen
	var sent counter
	b := setup(t, standin.Options{}, phone.Options{HTTP: &http.Client{Transport: &sent}, Behaviour: phone.DoubleAnswer(phone.Approve(&screen))})
	tx, right := b.server.Ask("ada")
	screen.Show(b.phone.Accounts()[0].Device, right)
	if r := b.await(t, ended); r.State != phone.Answered || b.server.AnswerTo(tx) != right || len(sent.paths) != 2 {
		t.Errorf("ring %+v after %d requests", r, len(sent.paths))
	}
}

func TestOtherDeviceAnswersInVain(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]bool{"nobody's": false, "another account's": true} {
		var screen phone.Screen
		var sent counter
		b := setup(t, standin.Options{}, phone.Options{HTTP: &http.Client{Transport: &sent}, Signs: true})
		own := b.phone.Accounts()[0].Device
		if second {
			b.server.AddUser("bob", "secret")
			if _, err := b.phone.EnrolFromQR(b.ctx, b.server.Enrolment("bob")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.phone.Play(b.ctx, "other_device", &screen, 0, ""); err != nil {
			t.Fatal(err)
		}
		tx, right := b.server.Ask("ada")
		screen.Show(own, right)
		s := b.stepped(t, phone.StepAnswered)
		if r, _ := b.phone.Ring(tx); r.State != phone.Ringing || b.server.AnswerTo(tx) != "" || !strings.Contains(s.Error, "404") {
			t.Errorf("%s: %+v, ring %+v", name, s, r)
		}
		if len(sent.paths) != 1 || strings.Contains(sent.paths[0], own) || second != strings.Contains(sent.paths[0], b.phone.Accounts()[len(b.phone.Accounts())-1].Device) {
			t.Errorf("%s: sent to %v", name, sent.paths)
		}
	}
}

package phone_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"countersign/simulator/phone"
	"countersign/simulator/standin"
)

func TestOfflinePushesComeLate(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	b.phone.SetNetwork(phone.Offline)
	tx, right := b.server.Ask("ada")
	b.stepped(t, phone.StepMissed)
	if err := b.phone.Refresh(b.ctx); err == nil {
		t.Error("a phone without network fetches")
	}
	if n := len(b.phone.Rings()); n != 0 {
		t.Errorf("%d rings", n)
	}
	b.phone.SetNetwork(phone.Online)
	if r := b.await(t, ringing); r.TxID != tx {
		t.Errorf("ring %+v", r)
	}
	if err := b.phone.Answer(b.ctx, tx, right); err != nil {
		t.Error(err)
	}
}

func TestPushesAreLostThatNobodyKeeps(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(b bundle){
		"no push": func(b bundle) { b.phone.SetNetwork(phone.NoPush) },
		"over":    func(b bundle) { b.phone.SetNetwork(phone.Offline) },
		"killed":  func(b bundle) { b.phone.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, standin.Options{}, phone.Options{})
			away(b)
			b.server.Ask("ada")
			b.stepped(t, phone.StepMissed)
			if name == "over" {
				b.clock.Advance(time.Minute)
			}
			b.phone.SetNetwork(phone.Online)
			if err := b.phone.Open(b.ctx); err != nil {
				t.Fatal(err)
			}
			if want := name != "over"; (len(b.phone.Rings()) == 1) != want {
				t.Errorf("rings %+v, pending %t", b.phone.Rings(), want)
			}
			for _, s := range b.phone.Timeline() {
				if s.Name == phone.StepReceived {
					t.Errorf("a push came: %+v", s)
				}
			}
		})
	}
}

func TestSaverHoldsPushesBack(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	b.phone.SetSaver(30 * time.Second)
	b.server.Ask("ada")
	b.clock.Await(1)
	b.clock.Advance(29 * time.Second)
	if n := len(b.phone.Rings()); n != 0 {
		t.Errorf("%d rings too early", n)
	}
	b.clock.Advance(time.Second)
	if r := b.await(t, ringing); r.Received.Sub(r.Created) != 30*time.Second {
		t.Errorf("ring %+v", r)
	}
}

func TestKilledAppForgetsItsRings(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{})
	tx, _ := b.server.Ask("ada")
	b.await(t, ringing)
	b.phone.Kill()
	if n := len(b.phone.Rings()); n != 0 {
		t.Errorf("%d rings", n)
	}
	if err := b.phone.Open(b.ctx); err != nil {
		t.Fatal(err)
	}
	if r := b.await(t, ringing); r.TxID != tx {
		t.Errorf("ring %+v", r)
	}
}

// A clock that is wrong changes nothing, either way, and a ring ends all the same.
func TestWrongClockStillAnswers(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-7 * time.Hour, 7 * time.Hour, time.Second, -time.Second} {
		var screen phone.Screen
		b := setup(t, standin.Options{}, phone.Options{Signs: true, Skew: skew, Behaviour: phone.Approve(&screen)})
		if got := b.phone.Now().Sub(b.clock.Now()); got != skew {
			t.Errorf("the phone's clock is ahead by %s, not %s", got, skew)
		}
		tx, right := b.server.Ask("ada")
		screen.Show(b.phone.Accounts()[0].Device, right)
		if r := b.await(t, ended); r.State != phone.Answered {
			t.Errorf("skew %s: %+v", skew, r)
		}
		b.phone.SetBehaviour(phone.Ignore)
		tx, _ = b.server.Ask("ada")
		b.await(t, func(r phone.Ring) bool { return r.TxID == tx })
		b.clock.Advance(time.Minute + time.Second)
		if r, _ := b.phone.Ring(tx); r.State != phone.Expired {
			t.Errorf("skew %s: after its time the ring is %s", skew, r.State)
		}
	}
}

func TestLostKeysSayNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, standin.Options{}, phone.Options{Signs: true})
	tx, right := b.server.Ask("ada")
	b.await(t, ringing)
	if err := b.phone.LoseKeys(b.phone.Accounts()[0].Device); err != nil {
		t.Fatal(err)
	}
	if err := b.phone.Answer(b.ctx, tx, right); err == nil || b.server.AnswerTo(tx) != "" {
		t.Errorf("without keys it answers: %v", err)
	}
}

// All that a phone makes up comes from the randomness that it is given.
func TestSameSeedSamePhone(t *testing.T) {
	t.Parallel()
	answer := func(seed byte) (uid, fingerprint string) {
		random := rand.NewChaCha8([32]byte{seed})
		b := setup(t, standin.Options{}, phone.Options{Signs: true, Verifies: true, Rand: random})
		tx, right := b.server.Ask("ada")
		b.await(t, ringing)
		attempt, err := b.phone.Prepare(tx, right)
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := bytes.Cut([]byte(attempt.Response.Signed), []byte(".")) // it names the key
		return attempt.Account.UID, string(header)
	}
	uid, key := answer(1)
	again, same := answer(1)
	other, different := answer(2)
	if uid != again || key != same || uid == other || key == different {
		t.Errorf("%s %s, %s %s, %s %s", uid, key, again, same, other, different)
	}
}

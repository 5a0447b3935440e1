package mobile

import (
	"testing"
	"time"

	"countersign/authenticators"
	"countersign/core/bus"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
	"countersign/mobile/wire"
)

// enrolStage is the set-up stage over a flow bench.
func enrolStage(t testing.TB, b *flowtest.Bench) *flows.Kind {
	t.Helper()
	k, _ := enrolService(t, b)
	return k
}

func enrolService(t testing.TB, b *flowtest.Bench) (*flows.Kind, *Service) {
	t.Helper()
	s := New(Options{
		Pool: b.Pool, Users: b.Users, Keeper: b.Keeper, Bus: bus.NewMemory(), Events: b.Events, Push: &pushes{}, Sessions: b.Sessions,
		Log: b.Log, Now: b.Clock.Now,
	})
	t.Cleanup(func() {
		s.Close()
		s.Bus.Close()
	})
	return s.StageKind(), s
}

// confirm does what the phone's call does to the device that was shown.
func confirm(t testing.TB, b *flowtest.Bench, page flowtest.Page) {
	t.Helper()
	payload, _ := page.JSON["payload"].(map[string]any)
	b.Exec(t, `UPDATE mobile_devices SET confirmed = true WHERE uuid = $1`, payload["s"])
}

func TestSetupStageConformance(t *testing.T) {
	t.Parallel()
	flowtest.Stage(t, flowtest.Suite{
		Kinds: func(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{enrolStage(t, b)} }, Component: Component, NeedsGet: true,
		Settings: func(testing.TB, *flowtest.Bench) any {
			return Settings{Mode: wire.NumberMatching3, CGWEndpoint: "localhost"}
		},
		Prepare: func(t testing.TB, b *flowtest.Bench, br *flowtest.Browser) flows.Context {
			u := usertest.Add(t, b.Users, "ann", "")
			br.LogIn(t, u)
			return flows.Context{PendingUser: u.ID}
		},
		Right: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser, page flowtest.Page) map[string]any {
			if page.JSON != nil {
				confirm(t, b, page)
			}
			return map[string]any{}
		},
	})
}

// A reload shows the same device and token; after the token's end it is the same device with a new one.
func TestSetupStageKeepsItsDevice(t *testing.T) {
	t.Parallel()
	b := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{enrolStage(t, b)} })
	b.Flow(t, "setup", nil, flowtest.Step{Kind: "authenticatormobilestage", Settings: Settings{Mode: wire.NumberMatching3}})
	br := b.Browser("setup")
	br.LogIn(t, usertest.Add(t, b.Users, "ann", ""))
	payload := func() (device, token any) {
		p, _ := br.Get(t).Want(t, Component).JSON["payload"].(map[string]any)
		return p["s"], p["t"]
	}
	device, token := payload()
	if d, k := payload(); d != device || k != token {
		t.Error("a reload made another device or token")
	}
	b.Clock.Advance(enrollmentWindow + time.Second)
	if d, k := payload(); d != device || k == token {
		t.Error("after its end the token is the same, or the device another")
	}
	// Sealed with a key that is gone: the token that is shown works.
	_, token = payload()
	b.Exec(t, `UPDATE flow_plans SET plan = jsonb_set(plan, '{steps,0,state,sealed}', '"AAAA"')`)
	d, k := payload()
	if shown, ok := k.(string); !ok || d != device || k == token || b.Count(t, `SELECT count(*) FROM mobile_tokens WHERE token_hash = $1`, hashToken(shown)) != 1 {
		t.Error("a token that does not open was not replaced")
	}
	// Not confirmed yet: the answer is not accepted, and says nothing wrong.
	if p := br.Post(t, map[string]any{}).Want(t, Component); p.JSON["response_errors"] != nil {
		t.Errorf("got %s", p)
	}
	if n := b.Count(t, `SELECT count(*) FROM mobile_devices`); n != 1 {
		t.Errorf("%d devices", n)
	}
	// The device was collected meanwhile: a new one is made.
	b.Exec(t, `DELETE FROM mobile_devices`)
	if d, _ := payload(); d == device {
		t.Error("a device that is gone is still shown")
	}
}

// A user has as many phones as fit a page, and no more.
func TestSetUpEndsAtTheLimit(t *testing.T) {
	t.Parallel()
	b := flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind { return []*flows.Kind{enrolStage(t, b)} })
	b.Flow(t, "setup", nil, flowtest.Step{Kind: "authenticatormobilestage", Settings: Settings{Mode: wire.NumberMatching3}})
	ann := usertest.Add(t, b.Users, "ann", "")
	b.Exec(t, `INSERT INTO mobile_devices (uuid, user_id, name, confirmed) SELECT gen_random_uuid(), $1, 'Phone', true FROM generate_series(2, $2)`, ann.ID, authenticators.MaxDevices)
	for last, want := range []string{Component, flows.ComponentAccessDenied} {
		br := b.Browser("setup")
		br.LogIn(t, ann)
		if p := br.Get(t); p.Component != want {
			t.Errorf("with %d phones: %s", authenticators.MaxDevices-1+last, p)
		}
		b.Exec(t, `UPDATE mobile_devices SET confirmed = true`)
	}
}

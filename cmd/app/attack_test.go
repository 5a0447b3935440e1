package app_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/simulator/attack"
	"countersign/simulator/conformance"
	"countersign/simulator/verdict"
)

// T1, T3, T4, T5, T6, T7, T8, T10, T11, T13, T14, T15, T16, T17, T18, T19, T20, T21, T22, T23, T24, G20: the whole attack pack against a real server, as it is set up at first, and where only signed answers count. What holds is
// counted, so that nothing is passed over.
func TestAttackPack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change map[string]any
		tries  int
		held   int
	}{
		{"as it is set up at first", nil, 200, 19},
		{"with the owner's key and typed numbers", map[string]any{"accepted_answers": "signed_user_verified", "answer_mode": "number_typed_6"}, 20, 21},
		{"with a code that the phone shows", map[string]any{"accepted_answers": "signed", "answer_mode": "code_shown_6"}, 20, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := start(t, func(a *app.Config) { a.Mobile.AnswerWindow = 15 * time.Second })
			n.setUpStage(t, c.change)
			report, err := attack.Run(t.Context(), attack.Options{Base: n.base, Token: adminToken, SetupFlow: app.MobileSetupFlow, Tries: c.tries, Push: n.double})
			if err != nil {
				t.Fatal(err)
			}
			if held := report.Count(verdict.Held); report.Err() != nil || held != c.held {
				var text bytes.Buffer
				_ = report.Text(&text, 120)
				t.Errorf("%v, %d held, not %d\n%s", report.Err(), held, c.held, text.String())
			}
		})
	}
}

// G19, G20: each requirement that can be seen from outside holds at a real server; of the others it is said why they cannot.
func TestConformanceFromOutside(t *testing.T) {
	t.Parallel()
	n := start(t, func(a *app.Config) { a.Mobile.AnswerWindow = 15 * time.Second })
	n.setUpStage(t, map[string]any{"accepted_answers": "signed_user_verified", "answer_mode": "number_typed_6"})
	report, err := conformance.Run(t.Context(), attack.Options{Base: n.base, Token: adminToken, SetupFlow: app.MobileSetupFlow, Tries: 20, Push: n.double})
	if err != nil {
		t.Fatal(err)
	}
	hidden := []string{"T2", "T9", "T12"}
	for _, one := range report.Results {
		want := verdict.Held
		if slices.Contains(hidden, one.ID) {
			want = verdict.NotObservable
		}
		if one.Outcome != want {
			t.Errorf("%s: %s, not %s: %s", one.ID, one.Outcome, want, one.Observed)
		}
	}
	if len(report.Results) != 24 {
		t.Errorf("%d requirements", len(report.Results))
	}
}

// G22: phones of all kinds and versions work, or are refused, under each demand of a set-up stage.
func TestVersionSkew(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	matrix, err := conformance.Skew(t.Context(), conformance.SkewOptions{Base: n.base, Token: adminToken, Push: n.double})
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, c := range matrix.Cells {
		if c.Outcome == verdict.Held {
			held++
		}
	}
	if held != 3*len(conformance.Generations()) {
		var text bytes.Buffer
		_ = matrix.Text(&text, 120)
		t.Errorf("%d cells hold\n%s", held, text.String())
	}
	if got := n.call(http.MethodGet, "/api/v3/flows/instances/?search=skew", adminToken, nil); strings.Contains(got.body, "skew-") {
		t.Errorf("flows are left: %s", got.body)
	}
}

// setUpStage changes the stage by which phones are set up.
func (n *node) setUpStage(t *testing.T, change map[string]any) {
	t.Helper()
	if change == nil {
		return
	}
	stages := n.call(http.MethodGet, "/api/v3/stages/authenticator/mobile/", adminToken, nil)
	_, rest, _ := strings.Cut(stages.body, `"pk":"`)
	pk, _, _ := strings.Cut(rest, `"`)
	if got := n.call(http.MethodPatch, "/api/v3/stages/authenticator/mobile/"+pk+"/", adminToken, change); got.status != http.StatusOK {
		t.Fatalf("change the stage: %d %s", got.status, got.body)
	}
}

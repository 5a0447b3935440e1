package app_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/simulator/attack"
)

// G20: the whole attack pack against a real server, as it is set up at first, and where only signed answers count. What holds is
// counted, so that nothing is passed over.
func TestAttackPack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change map[string]any
		tries  int
		held   int
	}{
		{"as it is set up at first", nil, 200, 17},
		{"with the owner's key and typed numbers", map[string]any{"accepted_answers": "signed_user_verified", "answer_mode": "number_typed_6"}, 20, 19},
		{"with a code that the phone shows", map[string]any{"accepted_answers": "signed", "answer_mode": "code_shown_6"}, 20, 18},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := start(t, func(a *app.Config) { a.Mobile.AnswerWindow = 15 * time.Second })
			n.setUpStage(t, c.change)
			report, err := attack.Run(t.Context(), attack.Options{Base: n.base, Token: adminToken, SetupFlow: app.MobileSetupFlow, Tries: c.tries})
			if err != nil {
				t.Fatal(err)
			}
			if held := report.Count(attack.Held); report.Err() != nil || held != c.held {
				var text bytes.Buffer
				_ = report.Text(&text, 120)
				t.Errorf("%v, %d held, not %d\n%s", report.Err(), held, c.held, text.String())
			}
		})
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

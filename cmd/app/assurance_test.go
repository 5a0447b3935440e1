package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"countersign/mobile"
)

// T2, G4: an administrator sees what a way of answering is worth, and cannot save a stage that demands more than it gives;
// what is refused changes nothing.
func TestAdministratorClimbsTheLadder(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	const stages = "/api/v3/stages/authenticator/mobile/"
	_, rest, _ := strings.Cut(n.call(http.MethodGet, stages, adminToken, nil).body, `"pk":"`)
	pk, _, _ := strings.Cut(rest, `"`)
	path := stages + pk + "/"
	read := func() mobile.Row {
		t.Helper()
		var row mobile.Row
		if err := json.Unmarshal([]byte(n.call(http.MethodGet, path, adminToken, nil).body), &row); err != nil {
			t.Fatal(err)
		}
		return row
	}
	row := read()
	if row.Answer != mobile.AnswerByItem || row.TypedAttempts != 3 || row.Required != mobile.AssureAny || row.Mode != "number_matching_3" ||
		row.Assurance.Mode != "number_matching_3" || row.Assurance.Bits != 1.6 || row.Assurance.Attempts != 1 || row.Assurance.Level != mobile.AssureNumber {
		t.Errorf("at the start: %+v", row)
	}
	for _, c := range []struct {
		change map[string]any
		field  string // refused there; "" is saved
		level  mobile.Assurance
	}{
		{map[string]any{"required_assurance": "oob_20_bits"}, "required_assurance", mobile.AssureNumber},
		{map[string]any{"required_assurance": "phr"}, "required_assurance", mobile.AssureNumber},
		{map[string]any{"answer_mode": "number_typed_4"}, "answer_mode", mobile.AssureNumber},
		{map[string]any{"answer_mode": "accept_deny"}, "answer_mode", mobile.AssureNumber},
		{map[string]any{"item_matching_mode": "number_typed_6"}, "item_matching_mode", mobile.AssureNumber},
		{map[string]any{"typed_attempts": 0}, "typed_attempts", mobile.AssureNumber},
		{map[string]any{"typed_attempts": 6}, "typed_attempts", mobile.AssureNumber},
		{map[string]any{"answer_mode": "number_typed_6", "required_assurance": "oob_20_bits"}, "required_assurance", mobile.AssureNumber},
		{map[string]any{"answer_mode": "number_typed_6", "required_assurance": "oob_20_bits", "accepted_answers": "signed", "typed_attempts": 5}, "", mobile.AssureOOB},
		{map[string]any{"accepted_answers": "bearer"}, "required_assurance", mobile.AssureOOB},
		{map[string]any{"answer_mode": "item_matching"}, "required_assurance", mobile.AssureOOB},
		{map[string]any{"required_assurance": "multi_factor"}, "required_assurance", mobile.AssureOOB},
		{map[string]any{"answer_mode": "code_shown_6", "required_assurance": "multi_factor", "accepted_answers": "signed_user_verified"}, "", mobile.AssureMulti},
	} {
		before := n.call(http.MethodGet, path, adminToken, nil).body
		got := n.call(http.MethodPatch, path, adminToken, c.change)
		if (c.field == "") != (got.status == 200) || c.field != "" && (got.status != 400 || !strings.Contains(got.body, `"`+c.field+`"`)) {
			t.Errorf("%v: %d %s", c.change, got.status, got.body)
		}
		if after := n.call(http.MethodGet, path, adminToken, nil).body; c.field != "" && after != before {
			t.Errorf("%v: was refused and changed %s to %s", c.change, before, after)
		}
		if level := read().Assurance.Level; level != c.level {
			t.Errorf("%v: reaches %s", c.change, level)
		}
	}
	got := n.call(http.MethodGet, "/api/v3/authenticators/mobile/assurance/", adminToken, nil)
	var ladder []mobile.LadderRung
	if err := json.Unmarshal([]byte(got.body), &ladder); err != nil || got.status != 200 || len(ladder) != 7 || ladder[0].Bits != 0 || !ladder[6].OutOfBand {
		t.Errorf("the ladder: %d %s", got.status, got.body)
	}
	if got := n.call(http.MethodGet, "/api/v3/authenticators/mobile/assurance/", "", nil); got.status != 403 {
		t.Errorf("for nobody: %d %s", got.status, got.body)
	}
}

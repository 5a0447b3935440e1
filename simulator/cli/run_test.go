package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/simulator/report"
	"countersign/simulator/standin"
)

const people = `
phones:
- {name: all, count: 4, people: [{do: approve, share: 3, after: 100ms}, {do: deny, share: 1}]}
logins:
- {rate: 20, count: 12}
`

// file writes a scenario and gives its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	careless := standin.New(t, standin.Options{Careless: true})
	for name, c := range map[string]struct {
		scenario string
		more     []string
		code     int
		says     string
	}{
		"all well":    {"name: s\ntarget: {stand_in: true}\nchecks: [wrong == 0, finished == 12]\nthresholds: {login_duration: ['p(95)<60000']}" + people, nil, 0, "seed"},
		"check":       {"name: s\ntarget: {stand_in: true}\nchecks: [denied > 12]" + people, nil, 1, "denied > 12"},
		"threshold":   {"name: s\ntarget: {stand_in: true}\nthresholds: {login_duration: ['p(95)<1']}" + people, nil, 2, "p(95)<1"},
		"invalid":     {"name: s\ntarget: {stand_in: true}\nlogin: []" + people, nil, 3, "scenario.yaml:3:1: login: unknown field \"login\", did you mean logins?"},
		"no target":   {"name: s" + people, nil, 3, "no server"},
		"unreachable": {"name: s" + people, []string{"--server", "http://127.0.0.1:1", "--token", "x", "--listen", "127.0.0.1:0"}, 4, "connection refused"},
		"let in":      {"name: s" + people, []string{"--server", careless.URL, "--token", standin.AdminToken, "--listen", "127.0.0.1:0"}, 1, "let in without an answer"},
		"bad token":   {"name: s" + people, []string{"--server", careless.URL, "--token", "guess", "--listen", "127.0.0.1:0"}, 1, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, "", append([]string{"run", file(t, c.scenario)}, c.more...)...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit %d, want %d and %q\n%s%s", code, c.code, c.says, out, errs)
			}
		})
	}
}

func TestReportsAndReplay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	path := file(t, "name: s\nclock: virtual\nseed: 5"+people)
	code, out, errs := run(t, "", "run", path, "--events", at("a.jsonl"), "--json", at("a.json"), "--junit", at("a.xml"))
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	var s report.Summary
	text, err := os.ReadFile(at("a.json"))
	if err != nil || json.Unmarshal(text, &s) != nil || s.Seed != 5 || s.Counts.Ended != 12 {
		t.Errorf("%v: %s", err, text)
	}
	if code, out, errs := run(t, "", "replay", at("a.jsonl"), "--events", at("b.jsonl")); code != 0 || !strings.Contains(out, "All 12 logins ended as then") {
		t.Errorf("replay: exit %d\n%s%s", code, out, errs)
	}
	first, _ := os.ReadFile(at("a.jsonl"))
	second, _ := os.ReadFile(at("b.jsonl"))
	if len(first) == 0 || string(first) != string(second) {
		t.Errorf("the replay's log differs:\n%s\n%s", first, second)
	}
	changed := strings.Replace(string(first), `"outcome":"denied"`, `"outcome":"approved"`, 1)
	if err := os.WriteFile(at("c.jsonl"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := run(t, "", "replay", at("c.jsonl")); code != 1 || !strings.Contains(out, "approved then, denied now") {
		t.Errorf("a log that ended otherwise: exit %d\n%s", code, out)
	}
}

func TestMatrixRunsEachCase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := file(t, `
name: s
clock: virtual
matrix: {mode: [accept_deny, number_matching_3], wait: [1s]}
target: {mode: "${mode}"}
phones: [{name: all, count: 1, people: [{do: approve, after: "${wait}"}]}]
logins: [{rate: 1, count: 2}]
`)
	code, out, errs := run(t, "", "run", path, "--json", filepath.Join(dir, "r.json"))
	found, _ := filepath.Glob(filepath.Join(dir, "r.mode=*,wait=1s.json"))
	if code != 0 || len(found) != 2 || !strings.Contains(errs, "case 2 of 2: mode=number_matching_3,wait=1s") {
		t.Errorf("exit %d, files %v\n%s%s", code, found, out, errs)
	}
	if code, out, _ := run(t, "", "lint", path, "--set", "mode=number_typed_6"); code != 0 || strings.Count(out, "2 logins") != 1 {
		t.Errorf("lint: exit %d\n%s", code, out)
	}
	if code, _, errs := run(t, "", "lint", path, "--set", "mood=x"); code != 3 || !strings.Contains(errs, "did you mean mode?") {
		t.Errorf("lint: exit %d\n%s", code, errs)
	}
}

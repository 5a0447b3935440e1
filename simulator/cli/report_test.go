package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/simulator/event"
)

// logged writes a log of one login that took so many milliseconds.
func logged(t *testing.T, name string, took float64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := event.NewLog(f, false)
	after := event.Millis(took * 1e6)
	for _, e := range []event.Event{
		{Kind: event.RunBegun, Header: &event.Header{Format: event.Format, Scenario: "morning", Seed: 7, Clock: "virtual"}},
		{Kind: event.LoginDue, Login: 1, Name: "approve", Want: "approved"},
		{At: after, Kind: event.LoginEnded, Login: 1, Took: after, Outcome: "approved", Want: "approved"},
		{At: after, Kind: event.RunEnded, Text: "done"},
	} {
		l.Take(e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReportsOfALog(t *testing.T) {
	t.Parallel()
	log := logged(t, "run.jsonl", 120)
	dir := t.TempDir()
	figures, cases := filepath.Join(dir, "a.json"), filepath.Join(dir, "a.xml")
	page := filepath.Join(dir, "a.html")
	code, out, errs := run(t, "", "report", log, "--html", page, "--json", figures, "--junit", cases)
	if code != 0 || !strings.Contains(out, "✓ passed  seed 7") || errs != "" {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	text, err := os.ReadFile(figures)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Seed    int
		Metrics map[string]struct{ Max float64 }
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Seed != 7 || s.Metrics["login_duration"].Max != 120 {
		t.Errorf("%+v (%v)", s, err)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "<title>morning: passed, seed 7</title>") {
		t.Errorf("%.300s (%v)", text, err)
	}
	if text, err := os.ReadFile(cases); err != nil || !strings.Contains(string(text), `tests="2" failures="0"`) {
		t.Errorf("%s (%v)", text, err)
	}
	if code, again, _ := run(t, "", "report", figures); code != 0 || again != out {
		t.Errorf("the figures give another report, exit %d:\n%s", code, again)
	}

	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, "", "report", log); code != 0 || !strings.Contains(out, "! incomplete") || !strings.Contains(errs, "breaks off") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if err := os.WriteFile(log, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "", "report", log); code != 3 || !strings.Contains(errs, "run.jsonl: read event log: line 1") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestCompareEndsWithOneWhereItIsWorse(t *testing.T) {
	t.Parallel()
	a, b := logged(t, "a.jsonl", 100), logged(t, "b.jsonl", 300)
	page := filepath.Join(t.TempDir(), "a.html")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"compare", a, a}, 0, "✓ no figure is worse by more than 10 %"},
		{[]string{"compare", a, b, "--html", page}, 1, "✗ logins rate"},
		{[]string{"compare", a, b, "--tolerance", "300%"}, 0, "✓ no figure"},
		{[]string{"compare", a, b, "--tolerance", "many"}, 3, "is no tolerance"},
		{[]string{"compare", a, b + "x"}, 3, "b.jsonlx"},
	} {
		if code, out, errs := run(t, "", c.args...); code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%v: exit %d\n%s%s", c.args, code, out, errs)
		}
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "<title>Worse: morning, two runs</title>") {
		t.Errorf("%.300s (%v)", text, err)
	}
}

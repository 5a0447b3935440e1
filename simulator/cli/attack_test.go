package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/simulator/attack"
	"countersign/simulator/cli"
	"countersign/simulator/standin"
	"countersign/simulator/verdict"
)

func TestAttackSaysWhatHeld(t *testing.T) {
	t.Parallel()
	good := standin.New(t, standin.Options{Guarded: true})
	bad := standin.New(t, standin.Options{Guarded: true, Flaw: standin.WrongLetsIn})
	dir := t.TempDir()
	asJSON, asJUnit := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.xml")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--server", good.URL, "--only", "replay,wrong-number", "--json", asJSON, "--junit", asJUnit}, 0, "2 held, 0 broken"},
		{[]string{"--server", bad.URL, "--only", "replay,wrong-number"}, 1, "1 held, 1 broken"},
		{[]string{"--server", good.URL, "--only", "wrong-number", "--json", "-"}, 0, `"outcome": "held"`},
		{[]string{"--server", good.URL, "--token", "guess"}, 4, "cannot be attacked"},
		{[]string{"--server", "http://127.0.0.1:1"}, 4, "cannot be attacked"},
		{[]string{"--server", good.URL, "--only", "bribery"}, 4, "bribery"},
		{[]string{"--help"}, 0, "push-bombing: logs in"},
	} {
		code, out, errs := run(t, "", append([]string{"attack", "--token", standin.AdminToken}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%v: exit %d\n%s%s", c.args, code, out, errs)
		}
	}
	var report attack.Report
	text, err := os.ReadFile(asJSON)
	if err != nil || json.Unmarshal(text, &report) != nil || report.Count(verdict.Held) != 2 {
		t.Errorf("%s: %v", text, err)
	}
	if text, err = os.ReadFile(asJUnit); err != nil || strings.Count(string(text), "<testcase ") != 2 {
		t.Errorf("%s: %v", text, err)
	}
}

// Whoever interrupts has what was done, and no verdict.
func TestAttackInterrupted(t *testing.T) {
	t.Parallel()
	s := standin.New(t, standin.Options{Guarded: true})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out bytes.Buffer
	code := cli.Main(ctx, []string{"attack", "--server", s.URL, "--token", standin.AdminToken, "--only", "late-answer,replay"},
		strings.NewReader(""), &out, stopper{stop})
	if code != 130 || !strings.Contains(out.String(), "Interrupted") {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

// stopper interrupts as soon as something is told.
type stopper struct{ stop func() }

func (s stopper) Write(p []byte) (int, error) {
	s.stop()
	return len(p), nil
}

func TestConformanceSaysWhatHeld(t *testing.T) {
	t.Parallel()
	s := standin.New(t, standin.Options{Guarded: true, Window: 2 * time.Second})
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--server", s.URL, "--tries", "5"}, 0, "0 broken"},
		{[]string{"--server", s.URL, "--skew"}, 1, "passkey   BROKEN    BROKEN    BROKEN"}, // which the stand-in does not take
		{[]string{"--server", "http://127.0.0.1:1"}, 4, "cannot be attacked"},
		{[]string{"--server", "http://127.0.0.1:1", "--skew"}, 4, "refused"},
		{[]string{"--help"}, 0, "T1 to T24"},
	} {
		code, out, errs := run(t, "", append([]string{"conformance", "--token", standin.AdminToken}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%v: exit %d\n%s%s", c.args, code, out, errs)
		}
	}
}

// The stand-in is broken by command, and the attack made for it finds it.
func TestStandInWithAFlaw(t *testing.T) {
	t.Parallel()
	if code, _, errs := run(t, "", "stand-in", "--flaw", "99"); code != 4 || !strings.Contains(errs, "no number of the list") {
		t.Errorf("exit %d: %s", code, errs)
	}
	at := slices.Index(standin.Flaws(), standin.WrongLetsIn) + 1
	base := started(t, "stand-in", "--flaw", strconv.Itoa(at), "--listen", "127.0.0.1:0")
	code, out, errs := run(t, "", "attack", "--server", base, "--token", standin.AdminToken, "--only", "wrong-number")
	if code != 1 || !strings.Contains(out, "BROKEN") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

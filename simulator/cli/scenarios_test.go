package cli_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/simulator/engine"
	"countersign/simulator/report"
	"countersign/simulator/scenario"
)

var update = flag.Bool("update", false, "rewrite the schema and the reference page")

const scenarios = "../scenarios"

// The schema that editors use and the page that people read say what the reader takes.
func TestSchemaAndReferenceAreWhatTheReaderTakes(t *testing.T) {
	t.Parallel()
	words := engine.Words(report.New().Metrics())
	schema, err := scenario.Schema(words)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{filepath.Join(scenarios, "schema.json"): schema, "../../docs/scenario-reference.md": scenario.Reference(words)} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is old: run go test ./simulator/cli -update (%v)", path, err)
		}
	}
}

func TestReadyScenariosAreValidAndDescribed(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(filepath.Join(scenarios, "*.yaml"))
	if err != nil || len(found) < 9 {
		t.Fatalf("%d scenarios: %v", len(found), err)
	}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(text), "# yaml-language-server: $schema=schema.json\n") {
			t.Errorf("%s does not name its schema (%v)", path, err)
		}
		if code, _, errs := run(t, "", "lint", path); code != 0 {
			t.Errorf("%s: exit %d\n%s", path, code, errs)
		}
		page := strings.TrimSuffix(path, ".yaml") + ".md"
		if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), filepath.Base(path)) {
			t.Errorf("%s: no page of it: %v", path, err)
		}
	}
}

// Those that kill nothing run in virtual time too, pass, and a second time to the byte.
func TestReadyScenariosInVirtualTime(t *testing.T) {
	log := func(name, scenario string) string {
		path := filepath.Join(t.TempDir(), name)
		if code, out, errs := run(t, "", "run", filepath.Join(scenarios, scenario+".yaml"), "--clock", "virtual", "--quiet", "--events", path); code != 0 {
			t.Errorf("%s: exit %d\n%s%s", scenario, code, out, errs)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, name := range []string{"smoke", "monday-morning", "push-outage", "quota", "lost-phones", "fatigue-attack", "slow-phones"} {
		if first, second := log("a", name), log("b", name); first != second || first == "" {
			a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					t.Errorf("%s: the logs differ from line %d on:\n%s\n%s", name, i+1, a[i], b[i])
					break
				}
			}
		}
	}
}

// A full disk and a file that cannot be made are told; the other reports are there, and the run was made.
func TestReportsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	dir := t.TempDir()
	path := file(t, "name: s\nclock: virtual\nseed: 5"+people)
	code, out, errs := run(t, "", "run", path, "--events", "/dev/full", "--html", "/dev/full", "--json", filepath.Join(dir, "r.json"))
	if code != 1 || strings.Count(errs, "no space left on device") != 2 || !strings.Contains(out, "12 of 12") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "r.json")); err != nil {
		t.Error(err)
	}
}

package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var proof = regexp.MustCompile(`\]\(\.\./([^ )]+_test\.go) "([^"]+)"\)`)

// Each Y and P of ours in the comparison names a test that is there.
func TestComparisonIsProved(t *testing.T) {
	t.Parallel()
	const root = "../../.."
	text, err := os.ReadFile(filepath.Join(root, "docs", "comparison.md"))
	if err != nil {
		t.Fatal(err)
	}
	proved := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 18 || strings.HasPrefix(strings.TrimSpace(cells[1]), "Feature") || strings.Contains(cells[1], "---") {
			continue
		}
		feature, ours := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		found := proof.FindAllStringSubmatch(ours, -1)
		if strings.HasPrefix(ours, "N") || strings.HasPrefix(ours, "–") {
			continue
		}
		if len(found) == 0 {
			t.Errorf("%s: %q names no test", feature, ours)
		}
		for _, m := range found {
			source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m[1])))
			if err != nil {
				t.Errorf("%s: %v", feature, err)
				continue
			}
			if !strings.Contains(string(source), "func "+m[2]+"(") && !strings.Contains(string(source), `It("`+m[2]+`"`) {
				t.Errorf("%s: %s has no test %q", feature, m[1], m[2])
			}
			proved++
		}
	}
	if proved < 20 {
		t.Errorf("only %d tests are named", proved)
	}
}

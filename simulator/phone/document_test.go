package phone_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"countersign/simulator/phone"
)

// The table of the documentation is that of the code.
func TestBehavioursAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/simulated-phone.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, k := range phone.Behaviours() {
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", k.Name, k.About, k.Param, strings.Join(k.Outcomes, ", ")))
	}
	if want := strings.Join(rows, "\n"); !strings.Contains(string(text), "|---|---|---|---|\n"+want+"\n\n") {
		t.Errorf("the table in docs/simulated-phone.md is not this one:\n%s", want)
	}
}

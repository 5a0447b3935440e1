package app_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestDocument holds the interface to its golden document: a change of the API is a change of that file, to be reviewed
// like code. `go test ./cmd/app -run Document -update` writes it.
func TestDocument(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	var indented bytes.Buffer
	if err := json.Indent(&indented, n.app.Document(), "", " "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(indented.Bytes(), want) {
		t.Errorf("the OpenAPI document differs from %s: %s\nIf that is meant: go test ./cmd/app -run Document -update", golden, firstDifference(want, indented.Bytes()))
	}
	doc, err := openapi3.NewLoader().LoadFromData(want)
	if err != nil {
		t.Fatal(err)
	}
	// The patterns are Django's, for clients to see; not all are Go's.
	if err := doc.Validate(t.Context(), openapi3.DisableSchemaPatternValidation()); err != nil {
		t.Errorf("the document is not valid OpenAPI: %v", err)
	}
	for _, format := range []string{"json", "yaml"} {
		served := n.call("GET", "/api/v3/schema/?format="+format, "", nil)
		got, err := openapi3.NewLoader().LoadFromData([]byte(served.body))
		if err != nil {
			t.Fatalf("the document as %s: %v", format, err)
		}
		if len(got.Paths.Map()) != len(doc.Paths.Map()) {
			t.Errorf("the document as %s has %d paths, want %d", format, len(got.Paths.Map()), len(doc.Paths.Map()))
		}
	}
}

// firstDifference shows the first line that differs, with where it lies.
func firstDifference(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "line " + jsonText(i+1) + ":\n- " + w[i] + "\n+ " + g[i]
		}
	}
	return jsonText(len(w)) + " lines, now " + jsonText(len(g))
}

func jsonText(v any) string {
	raw, _ := json.Marshal(v) // of numbers and strings
	return string(raw)
}

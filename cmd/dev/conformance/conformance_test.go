package conformance

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample is a module with a test of every kind and end.
func sample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module sample\n\ngo 1.26\n",
		"a/a_test.go": `package a

import "testing"

// T1, T3, flaw 4, G9: what it proves. And more.
func TestGood(t *testing.T) { t.Run("part", func(t *testing.T) {}) }

// T2: this one fails.
func TestBad(t *testing.T) { t.Error("it is broken") }

// T3: this one is skipped.
func TestSkipped(t *testing.T) { t.Skip("no reason") }

// It has T4 in it, which is no list of ids.
func TestOther(t *testing.T) {}

// T4: a function that is no test.
func helper() {}

// T5: a method that is no test.
func (x) TestMethod(t *testing.T) {}

type x struct{}

var _ = helper
`,
		"b/b_test.go": `package b

import "testing"

// T6: its package does not build.
func TestBroken(t *testing.T) { undefined() }

func It(string, func()) {}

func specs() {
	// T7: a spec.
	It("does \"this\"", func() {})

	It("has no ids", func() {})
}
`,
		"testdata/c_test.go": "package c\n\n// T8: data.\nfunc TestData() {}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	t.Parallel()
	found, err := Find(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Package+" "+f.Name+" "+strings.Join(f.Proves, "+")+" "+f.Says)
	}
	want := []string{
		"./a TestGood T1+T3+G9 what it proves", "./a TestBad T2 this one fails", "./a TestSkipped T3 this one is skipped",
		"./b TestBroken T6 its package does not build", `./b does "this" T7 a spec`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	dir := sample(t)
	tests, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	results := map[key]outcome{}
	for _, pkg := range packages(tests) {
		if err := runFunctions(t.Context(), dir, pkg, []string{"TestGood", "TestBad", "TestSkipped", "TestBroken"}, results); err != nil {
			t.Fatal(err)
		}
	}
	r := judge(Requirements[:8], tests, results)
	want := []string{"", "failed: 1 of 1 tests", "", "no test proves it", "no test proves it", "none of its tests ran", "none of its tests ran", "no test proves it"}
	for i, v := range r.Verdicts {
		if v.Why != want[i] || v.Holds != (want[i] == "") {
			t.Errorf("%s: holds %t, %q, want %q", v.ID, v.Holds, v.Why, want[i])
		}
	}
	if r.Holds != 2 || r.Of != 8 {
		t.Errorf("%d of %d", r.Holds, r.Of)
	}
	var text, doc, form bytes.Buffer
	if err := r.text(&text, false); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"it is broken", "skipped", "2 of 8 requirements hold", "TestGood (a/a_test.go:6)"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the text lacks %q:\n%s", part, text.String())
		}
	}
	if err := r.json(&doc); err != nil || !json.Valid(doc.Bytes()) {
		t.Error(err)
	}
	if err := r.junit(&form); err != nil {
		t.Fatal(err)
	}
	var back junit
	if err := xml.Unmarshal(form.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if s := back.Suites[1]; s.Failures != 1 || s.Cases[0].Failure == nil || !strings.Contains(s.Cases[0].Failure.Text, "it is broken") {
		t.Errorf("%+v", s)
	}
	if s := back.Suites[3]; s.Failures != 1 || s.Tests != 1 {
		t.Errorf("a requirement without tests passes: %+v", s)
	}
}

package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"countersign/simulator/event"
	"countersign/simulator/report"
)

// parsed is the page as a browser reads it.
func parsed(t *testing.T, s report.Summary) (*html.Node, string) {
	t.Helper()
	var out bytes.Buffer
	if err := s.HTML(&out); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return root, out.String()
}

func all(root *html.Node, match func(*html.Node) bool) (found []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			found = append(found, n)
		}
	}
	return found
}

func named(names ...string) func(*html.Node) bool {
	return func(n *html.Node) bool { return slices.Contains(names, n.Data) }
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
		}
	}
	return out.String()
}

func eventful() report.Summary {
	var events [][]event.Event
	for i := range 60 {
		wrong := ""
		if i == 30 {
			wrong = "let in <script>alert(1)</script>"
		}
		events = append(events, login(i+1, event.Millis(i)*second/2, milli(float64(i)), milli(float64(100+20*i)), "approved", wrong))
	}
	until := 20 * second
	events = append(events, []event.Event{
		{At: 10 * second, Kind: event.FaultOn, Name: "push \"outage\"", Text: "<b>503</b>"}, {At: until, Kind: event.FaultOff, Name: "push \"outage\""},
		{At: 12 * second, Kind: event.World, Name: "kill node 2"},
		{At: 12 * second, Kind: event.BrowserStep, Login: 24, Name: "wait", Error: "connection reset"},
		{At: 13 * second, Kind: event.Sample, Values: map[string]float64{event.GaugeLag: 0.6, event.GaugeCPU: 0.2}},
		{At: 14 * second, Kind: event.Sample, Values: map[string]float64{event.GaugeLag: 0.1, event.GaugeCPU: 0.3}},
		{Kind: event.Check, Name: "a check", Passed: true}, {Kind: event.Threshold, Name: "login_duration: p(95)<500", Text: "812"},
	}, ended(40*second, "done"))
	return collect(append([][]event.Event{begin(7)}, events...)...).Summary()
}

// The page works from a mail or a CI's artefacts: nothing is loaded and nothing runs, and what the server said is text.
func TestPageNeedsNothingElse(t *testing.T) {
	t.Parallel()
	root, source := parsed(t, eventful())
	if n := all(root, named("script", "link", "img", "iframe", "object", "use", "image", "base", "form")); len(n) > 0 {
		t.Errorf("the page has a %s", n[0].Data)
	}
	for _, n := range all(root, func(*html.Node) bool { return true }) {
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "href" || a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	if strings.Contains(source, "url(") || strings.Contains(source, "@import") || strings.Contains(source, "ZgotmplZ") {
		t.Error("the page loads something, or the template found a value where it must not be")
	}
	styles := all(root, named("style"))
	if len(styles) != 1 {
		t.Fatalf("%d styles", len(styles))
	}
	sum := sha256.Sum256([]byte(text(styles[0])))
	policy := ""
	for _, n := range all(root, named("meta")) {
		if attribute(n, "http-equiv") == "Content-Security-Policy" {
			policy = attribute(n, "content")
		}
	}
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("policy %q", policy)
	}
	body := text(root)
	for _, want := range []string{
		"let in <script>alert(1)</script>", "<b>503</b>", "push \"outage\", from 10s to 20s", "simulator run morning --seed 7", "login_service_time", "Release, p95",
		"1 login ended wrong", "a check", "connection reset", "kill node 2",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// Who cannot see a plot has its title, what it shows, and its figures as a table.
func TestPlotsAreAccessible(t *testing.T) {
	t.Parallel()
	root, _ := parsed(t, eventful())
	ids := map[string]bool{}
	for _, n := range all(root, func(n *html.Node) bool { return attribute(n, "id") != "" }) {
		if id := attribute(n, "id"); ids[id] {
			t.Errorf("two have the id %s", id)
		}
		ids[attribute(n, "id")] = true
	}
	figures := all(root, named("figure"))
	var have []string
	for _, f := range figures {
		have = append(have, attribute(f, "id"))
		if len(all(f, named("table"))) != 1 || len(all(all(f, named("tbody"))[0], named("tr"))) == 0 {
			t.Errorf("%s has no table", attribute(f, "id"))
		}
		drawn := all(f, func(n *html.Node) bool { return n.Data == "svg" && attribute(n, "role") == "img" })
		if len(drawn) != 1 {
			t.Errorf("%s: %d drawings", attribute(f, "id"), len(drawn))
			continue
		}
		for _, id := range strings.Fields(attribute(drawn[0], "aria-labelledby")) {
			if !ids[id] {
				t.Errorf("%s is named by %s, which is not there", attribute(f, "id"), id)
			}
		}
		for _, p := range all(drawn[0], named("path")) {
			if d := attribute(p, "d"); d == "" && attribute(p, "class") == "line c-1" || strings.Contains(d, "NaN") || strings.Contains(d, "Inf") {
				t.Errorf("%s has the path %q", attribute(f, "id"), d)
			}
		}
	}
	if want := []string{"curve", "throughput", "latency", "errors", "gauge-lag_ms", "gauge-cpu"}; !slices.Equal(have, want) {
		t.Errorf("plots %q, want %q", have, want)
	}
	for _, n := range all(root, named("svg")) {
		if attribute(n, "role") != "img" && attribute(n, "aria-hidden") != "true" && attribute(n, "viewBox") == "" {
			t.Errorf("a drawing has no name: %v", n.Attr)
		}
	}
}

// A run can end before anything happened, or under a clock that did not move.
func TestPageOfAlmostNothing(t *testing.T) {
	t.Parallel()
	for name, events := range map[string][][]event.Event{
		"header":      {begin(1)},
		"unreachable": {begin(1), ended(0, "target unreachable: connection refused")},
		"one instant": {begin(1), login(1, 0, 0, 0, "approved", ""), ended(0, "done")},
		"no steps":    {begin(1), {{At: second, Kind: event.LoginEnded, Login: 4, Took: second, Outcome: "strange", Wrong: "why?"}}},
	} {
		root, source := parsed(t, collect(events...).Summary())
		if strings.Contains(source, "NaN") || strings.Contains(source, "Inf") || len(all(root, named("h1"))) != 1 {
			t.Errorf("%s:\n%s", name, source[len(source)/2:])
		}
	}
}

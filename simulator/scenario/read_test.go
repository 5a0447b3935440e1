package scenario_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"countersign/simulator/scenario"
)

var words = scenario.Words{
	Habits: []string{"approve", "deny", "ignore"}, Metrics: []string{"login_duration", "logins"}, Counters: []string{"approved", "wrong", "logins"},
	Param: func(habit, param string) error {
		if param != "" {
			return errors.New(habit + " takes no " + param)
		}
		return nil
	},
	Modes: []string{"accept_deny", "number_matching_2"}, Attests: []string{"good", "rooted"},
}

const good = `
name: smoke
about: Nothing much.
seed: 42
vars: {people: 3, wait: 2s, unused: 1}
target: {nodes: 2, answer_window: 30s, settings: {mobile: {pushes: 20}}}
phones:
- {name: staff, count: "${people}", people: [{do: approve, share: 9, after: "${wait}"}, {do: deny, share: 1}]}
- {name: guests, count: 2, kind: signing, attests: rooted}
logins:
- {rate: 2, to: 10, until: 1m30s}
- {people: 2, count: 10, pause: 1s, phones: [guests]}
faults:
- {name: slow, on: push, latency: 1s, from: 10s, until: 20s}
world:
- {at: 15s, do: kill_node, node: 2}
checks: [wrong == 0, approved <= logins]
thresholds: {login_duration: ['p(99.9)<500', avg<=100], logins: [rate>0.5]}
`

func read(t *testing.T, files map[string]string, set map[string]string) ([]scenario.Scenario, error) {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return scenario.Read(tree, "s.yaml", words, set)
}

func TestRead(t *testing.T) {
	t.Parallel()
	list, err := read(t, map[string]string{"s.yaml": good}, map[string]string{"people": "5"})
	if err != nil {
		t.Fatal(err)
	}
	s := list[0]
	staff := s.Phones[0]
	if s.Seed != 42 || s.Clock != "wall" || s.Target.Nodes != 2 || s.Target.Window != 30*time.Second || s.Last() != 90*time.Second {
		t.Errorf("%+v", s)
	}
	if staff.Count != 5 || staff.Kind != "bearer" || staff.People[0].After != 2*time.Second || staff.People[1].Share != 1 || s.Phones[1].People[0].Do != "approve" {
		t.Errorf("%+v", s.Phones)
	}
	if s.Logins[0].To != 10 || len(s.Logins[0].Phones) != 2 || s.Logins[1].To != 0 || s.Faults[0].Toxicity != 1 {
		t.Errorf("%+v %+v", s.Logins, s.Faults)
	}
	limit := s.Limits["login_duration"][0]
	if limit.String() != "p(99.9)<500" || !limit.Holds(499) || limit.Holds(500) || !s.Limits["logins"][0].Holds(0.6) {
		t.Errorf("%+v", s.Limits)
	}
	if c := s.Checks[1]; c.String() != "approved <= logins" || !c.Holds(3, 3) || c.Holds(4, 3) || !s.Checks[0].Holds(0, 9) || s.Checks[0].Holds(1, 9) {
		t.Errorf("%+v", s.Checks)
	}
}

// one replaces a line of the good scenario.
func one(old, with string) string { return strings.Replace(good, old, with, 1) }

func TestProblemsNameLineFieldAndTheNearestWord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		one("about:", "abuot:"):                            `s.yaml:3:1: abuot: unknown field "abuot", did you mean about?`,
		one("seed: 42", "seed: lots"):                      `s.yaml:4:7: seed: want a whole number, not "lots"`,
		one("seed: 42", "seed: 42\nseed: 43"):              `s.yaml:5:1: seed: is given twice`,
		one("do: deny", "do: denny"):                       `s.yaml:8:3: phones[0].people[1].do: unknown habit "denny", did you mean deny?`,
		one("name: guests, ", ""):                          `s.yaml:9:3: phones[1].name: is needed: Of the group.`,
		one("kind: signing", "kind: singing"):              `s.yaml:9:34: phones[1].kind: unknown word "singing", did you mean signing?`,
		one("kind: signing, attests", "attests"):           `phones[1].attests: a bearer phone has no keys`,
		one("attests: rooted", "attests: routed"):          `unknown word "routed", did you mean rooted?`,
		one("count: 2", "count: 0"):                        `phones[1].count: want at least 1, not 0`,
		one("answer_window: 30s", "answer_window: 11m"):    `target.answer_window: want at most 10m, not 11m`,
		one("answer_window: 30s", "answer_window: 30"):     `target.answer_window: want a time such as 1.5s, not "30"`,
		one("answer_window: 30s", "mode: number_match"):    `target.mode: unknown mode "number_match"`,
		one("nodes: 2", "nodes: 2, stand_in: true"):        `target: only one of url, nodes and stand_in`,
		one("seed: 42", "clock: virtual"):                  `clock: a virtual clock needs the stand-in`,
		one("until: 1m30s", "count: 9"):                    `logins[0].to: a changing rate needs until`,
		one("rate: 2, to: 10, until: 1m30s", "until: 9s"):  `logins[0]: want rate`,
		one("people: 2, count: 10", "people: 3, count: 9"): `logins[1].people: the groups have 2 people`,
		one("phones: [guests]", "phones: [gests]"):         `logins[1].phones[0]: unknown group "gests", did you mean guests?`,
		one("on: push", "on: browser, error: INTERNAL"):    `faults[0].error: is not for the hop browser, but for push`,
		one("latency: 1s, ", ""):                           `faults[0]: does nothing`,
		one("until: 20s", "until: 5s"):                     `faults[0].until: 5s is not after from, 10s`,
		one("node: 2", "node: 3"):                          `world[0].node: want 1 to 2`,
		one("wrong == 0", "wrogn == 0"):                    `checks[0]: unknown counter "wrogn", did you mean wrong?`,
		one("wrong == 0", "wrong = 0"):                     `checks[0]: want a check such as`,
		one("login_duration:", "login_durration:"):         `unknown metric "login_durration", did you mean login_duration?`,
		one("p(99.9)<500", "p(101)<500"):                   `"101" is no quantile`,
		one("p(99.9)<500", "p99<500"):                      `want a limit such as p(95)<500`,
		one("avg<=100", "agv<=100"):                        `unknown aggregation "agv", did you mean avg?`,
		one("${people}", "${peple}"):                       `phones[0].count: unknown variable "peple", did you mean people?`,
		one("do: deny", "do: deny, param: x"):              `s.yaml:8:3: phones[0].people[1].param: deny takes no x`,
		"name: [":                                          `s.yaml:1:1: no YAML`,
		"- a":                                              `want fields, as in name: value`,
	} {
		_, err := read(t, map[string]string{"s.yaml": text}, nil)
		var problems scenario.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := read(t, map[string]string{"s.yaml": one("about:", "abuot:") + "zoo: 1\n"}, nil)
	var problems scenario.Problems
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Errorf("%v", err)
	}
}

func TestInclude(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"s.yaml":        "include: [base/a.yaml]\nname: outer\nlogins: [{rate: 1, count: 1}]\nchecks: [wrong == 0]\ntarget: {mode: accept_deny}\n",
		"base/a.yaml":   "include: [b.yaml]\nname: inner\nabout: Inner.\nchecks: [approved > 0]\ntarget: {stand_in: true, mode: number_matching_2}\n",
		"base/b.yaml":   "phones: [{name: all, count: 1}]\nseed: 3\n",
		"base/bad.yaml": "phones: [{name: all, count: none}]\n",
	}
	list, err := read(t, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := list[0]
	if s.Name != "outer" || s.About != "Inner." || s.Seed != 3 || len(s.Checks) != 2 || s.Checks[0].Counter != "approved" || s.Target.Mode != "accept_deny" || !s.Target.StandIn {
		t.Errorf("%+v", s)
	}
	for include, want := range map[string]string{
		"base/c.yaml": "s.yaml:1:11: include[0]: there is no file base/c.yaml", "s.yaml": "s.yaml includes itself",
		"../x.yaml": "leads out of the scenario's folder", "base/bad.yaml": "base/bad.yaml:1:29: phones[0].count: want a whole number",
	} {
		files["s.yaml"] = "include: [" + include + "]\nname: s\n"
		if _, err := read(t, files, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", include, err, want)
		}
	}
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	text := "name: s\nmatrix: {mode: [accept_deny, number_matching_2], n: [1, 2, 3]}\ntarget: {mode: '${mode}'}\nphones: [{name: all, count: '${n}'}]\nlogins: [{rate: 1, count: 1}]\n"
	list, err := read(t, map[string]string{"s.yaml": text}, nil)
	if err != nil || len(list) != 6 || list[5].Target.Mode != "number_matching_2" || list[5].Phones[0].Count != 3 || list[5].Case["n"] != "3" {
		t.Errorf("%v %+v", err, list)
	}
	if list, err = read(t, map[string]string{"s.yaml": text}, map[string]string{"n": "2"}); err != nil || len(list) != 2 || list[0].Phones[0].Count != 2 {
		t.Errorf("set: %v %+v", err, list)
	}
	if _, err := read(t, map[string]string{"s.yaml": strings.Replace(text, "[1, 2, 3]", "["+strings.Repeat("1, ", 60)+"1]", 1)}, nil); err == nil || !strings.Contains(err.Error(), "more than 100 combinations") {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(good)
	f.Add("name: ${x}\nvars: {x: [1]}\n")
	f.Add("a: &a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := scenario.Read(fstest.MapFS{"s.yaml": {Data: []byte(text)}}, "s.yaml", words, nil)
		if err == nil && len(list) == 0 {
			t.Error("neither a scenario nor an error")
		}
	})
}

package scenario

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"countersign/simulator/word"
)

// complete fills in the defaults.
func (s *Scenario) complete() {
	if s.Clock == "" {
		s.Clock = "wall"
	}
	for i := range s.Phones {
		p := &s.Phones[i]
		setDefault(&p.Kind, "bearer")
		setDefault(&p.Learns, "push")
		if len(p.People) == 0 {
			p.People = []Habit{{Do: "approve"}}
		}
		if !slices.ContainsFunc(p.People, func(h Habit) bool { return h.Share > 0 }) {
			for j := range p.People {
				p.People[j].Share = 1
			}
		}
	}
	for i := range s.Logins {
		l := &s.Logins[i]
		if len(l.Phones) == 0 {
			for _, p := range s.Phones {
				l.Phones = append(l.Phones, p.Name)
			}
		}
		if l.To == 0 {
			l.To = l.Rate
		}
		setDefault(&l.Arrival, "even")
		setDefault(&l.Browser.LeaveAt, "select")
	}
	for i := range s.Faults {
		f := &s.Faults[i]
		if f.Toxicity == 0 {
			f.Toxicity = 1
		}
		if f.Quota > 0 && f.Per == 0 {
			f.Per = time.Minute
		}
		setDefault(&f.Distribution, "even")
	}
	for i := range s.World {
		if s.World[i].Share == 0 {
			s.World[i].Share = 1
		}
	}
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// Last is when the last thing that the scenario plans begins; 0 where that follows from the server's speed alone.
func (s *Scenario) Last() time.Duration {
	var last time.Duration
	for _, l := range s.Logins {
		last = max(last, l.Until)
	}
	for _, f := range s.Faults {
		last = max(last, f.Until)
	}
	for _, a := range s.World {
		last = max(last, a.At)
	}
	return last
}

// places knows where each item of a list was read, by its path in the merged scenario.
type places map[string]place

type place struct {
	file string
	node *yaml.Node
}

// note remembers the places of a document's top-level words; merged tells how many items of a list came before.
func (p places) note(file string, root *yaml.Node, merged reflect.Value) {
	_, byName := fields(merged.Type())
	for i := 0; i+1 < len(root.Content); i += 2 {
		name, value := root.Content[i].Value, root.Content[i+1]
		index, known := byName[name]
		if !known {
			continue
		}
		p[name] = place{file, root.Content[i]}
		if value.Kind == yaml.SequenceNode && merged.Field(index).Kind() == reflect.Slice {
			for j, one := range value.Content {
				p[fmt.Sprintf("%s[%d]", name, merged.Field(index).Len()+j)] = place{file, one}
			}
		}
		if value.Kind == yaml.MappingNode {
			for j := 0; j+1 < len(value.Content); j += 2 {
				p[name+"."+value.Content[j].Value] = place{file, value.Content[j]}
			}
		}
	}
}

// validator holds the words of a scenario against each other.
type validator struct {
	s        *Scenario
	words    Words
	places   places
	file     string
	problems Problems
}

// fail notes a problem at the nearest place that is known of field.
func (v *validator) fail(field, format string, args ...any) {
	p := Problem{File: v.file, Field: field, Text: fmt.Sprintf(format, args...)}
	for at := field; at != ""; {
		if where, found := v.places[at]; found {
			p.File, p.Line, p.Column = where.file, where.node.Line, where.node.Column
			break
		}
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	v.problems = append(v.problems, p)
}

// known notes a word that is not among the known ones; no word is none.
func (v *validator) known(field, what, given string, known []string) {
	if given != "" && len(known) > 0 && !slices.Contains(known, given) {
		v.fail(field, "%v", word.Unknown(what, given, known))
	}
}

func (v *validator) run() {
	s := v.s
	if s.Name == "" {
		v.fail("name", "is needed: a short name, in reports")
	}
	if len(s.Phones) == 0 {
		v.fail("phones", "is needed: at least one group of phones")
	}
	if len(s.Logins) == 0 {
		v.fail("logins", "is needed: at least one stream of logins")
	}
	v.target()
	groups := v.phones()
	for i, l := range s.Logins {
		v.logins(fmt.Sprintf("logins[%d]", i), l, groups)
	}
	names := map[string]bool{}
	for i, f := range s.Faults {
		field := fmt.Sprintf("faults[%d]", i)
		if names[f.Name] {
			v.fail(field+".name", "there is another fault %q", f.Name)
		}
		names[f.Name] = true
		v.fault(field, f)
	}
	for i, a := range s.World {
		v.act(fmt.Sprintf("world[%d]", i), a, groups)
	}
	for i, c := range s.Checks {
		field := fmt.Sprintf("checks[%d]", i)
		v.known(field, "counter", c.Counter, v.words.Counters)
		v.known(field, "counter", c.Other, v.words.Counters)
	}
	for _, metric := range slices.Sorted(maps.Keys(s.Limits)) {
		v.known("thresholds."+metric, "metric", metric, v.words.Metrics)
	}
}

func (v *validator) target() {
	t := v.s.Target
	given := 0
	for _, one := range []bool{t.URL != "", t.Nodes > 0, t.StandIn} {
		if one {
			given++
		}
	}
	if given > 1 {
		v.fail("target", "only one of url, nodes and stand_in can be meant")
	}
	if v.s.Clock == "virtual" && (t.URL != "" || t.Nodes > 0) {
		v.fail("clock", "a virtual clock needs the stand-in server, as no other follows it")
	}
	if t.Nodes == 0 && (len(t.Settings) > 0 || len(t.Stage) > 0) {
		v.fail("target", "settings and stage are for nodes of our own")
	}
	if t.Guarded && t.URL != "" {
		v.fail("target.guarded", "only the stand-in is told so: a running server guards by its settings")
	}
	v.known("target.mode", "mode", t.Mode, v.words.Modes)
}

func (v *validator) phones() map[string]int {
	groups := map[string]int{}
	for i, p := range v.s.Phones {
		field := fmt.Sprintf("phones[%d]", i)
		if _, twice := groups[p.Name]; twice {
			v.fail(field+".name", "there is another group %q", p.Name)
		}
		groups[p.Name] = p.Count
		v.known(field+".attests", "word", p.Attests, v.words.Attests)
		if p.Attests != "" && (p.Kind == "stock" || p.Kind == "bearer") {
			v.fail(field+".attests", "a %s phone has no keys to be attested", p.Kind)
		}
		if p.Kind == "stock" && p.Learns != "push" {
			v.fail(field+".learns", "a stock phone knows what a push says and nothing else")
		}
		for j, h := range p.People {
			at := fmt.Sprintf("%s.people[%d]", field, j)
			v.known(at+".do", "habit", h.Do, v.words.Habits)
			if v.words.Param != nil && slices.Contains(v.words.Habits, h.Do) {
				if err := v.words.Param(h.Do, h.Param); err != nil {
					v.fail(at+".param", "%v", err)
				}
			}
		}
	}
	return groups
}

func (v *validator) logins(field string, l Logins, groups map[string]int) {
	people := 0
	for i, name := range l.Phones {
		count, known := groups[name]
		if !known {
			v.fail(fmt.Sprintf("%s.phones[%d]", field, i), "%v", word.Unknown("group", name, slices.Collect(maps.Keys(groups))))
		}
		people += count
	}
	switch {
	case (l.Rate > 0) == (l.People > 0):
		v.fail(field, "want rate, for logins that come whatever the server does, or people, who log in one login after another")
	case l.People > people:
		v.fail(field+".people", "the groups have %d people", people)
	case l.People == 0 && l.Pause > 0:
		v.fail(field+".pause", "is between the logins of people")
	case l.Count == 0 && l.Until == 0:
		v.fail(field, "want count or until, or it never ends")
	case l.Until > 0 && l.Until <= l.From:
		v.fail(field+".until", "%s is not after from, %s", l.Until, l.From)
	case l.To != l.Rate && l.Until == 0:
		v.fail(field+".to", "a changing rate needs until")
	}
}

func (v *validator) fault(field string, f Fault) {
	if f.Until > 0 && f.Until <= f.From {
		v.fail(field+".until", "%s is not after from, %s", f.Until, f.From)
	}
	effects := 0
	for _, e := range []struct {
		name  string
		given bool
		on    string
	}{
		{"latency", f.Latency > 0 || f.Jitter > 0, "browser phone push delivery"},
		{"bandwidth", f.Bandwidth > 0, "browser phone"},
		{"slow_close", f.SlowClose > 0, "browser phone"},
		{"timeout", f.Timeout > 0, "browser phone"},
		{"reset_peer", f.ResetPeer, "browser phone"},
		{"status", f.Status > 0, "browser phone"},
		{"error", f.Error != "", "push"},
		{"quota", f.Quota > 0, "push"},
		{"lose", f.Lose > 0, "browser phone push delivery"},
		{"duplicate", f.Duplicate > 0, "browser phone delivery"},
		{"reorder", f.Reorder > 0, "browser phone delivery"},
	} {
		if !e.given {
			continue
		}
		effects++
		if !strings.Contains(e.on, f.On) {
			v.fail(field+"."+e.name, "is not for the hop %s, but for %s", f.On, strings.ReplaceAll(e.on, " ", ", "))
		}
	}
	if effects == 0 {
		v.fail(field, "does nothing: give it latency, lose, status or the like")
	}
	if f.RetryAfter > 0 && f.Status == 0 && f.Error == "" {
		v.fail(field+".retry_after", "is a header of status or error")
	}
}

func (v *validator) act(field string, a Act, groups map[string]int) {
	nodes := v.s.Target.Nodes
	switch {
	case strings.HasSuffix(a.Do, "_node"):
		if nodes == 0 {
			v.fail(field+".do", "is for target.nodes: only our own can be killed")
		} else if a.Node < 1 || a.Node > nodes {
			v.fail(field+".node", "want 1 to %d", nodes)
		}
	case strings.HasSuffix(a.Do, "_database"):
		if nodes == 0 {
			v.fail(field+".do", "is for target.nodes: only our own database can be stopped")
		}
	case a.Do == "lose_phones":
		if _, known := groups[a.Group]; !known {
			v.fail(field+".phones", "%v", word.Unknown("group", a.Group, slices.Collect(maps.Keys(groups))))
		}
	}
}

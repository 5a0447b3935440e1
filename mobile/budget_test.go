package mobile

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// T7: three rings and then pauses that double, for each of the counts; an approval, and a day, end them.
func TestBudget(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	in := func(browser, status, source string, d time.Duration) past {
		return past{Status: status, Source: source, Browser: browser, Rings: 1, Rung: now.Add(-d)}
	}
	ago := func(status, source string, d time.Duration) past { return in("", status, source, d) }
	times := func(n int, status, source string, d time.Duration) (all []past) {
		for i := range n {
			all = append(all, ago(status, source, d+time.Duration(i)*time.Hour))
		}
		return all
	}
	home := ago("accept", "home", 48*time.Hour)
	stranger, owner, mine := asker{source: "evil"}, asker{source: "home", known: true}, asker{source: "evil", browser: "mine"}
	const s, m, h = time.Second, time.Minute, time.Hour
	b := DefaultBudget()
	for name, c := range map[string]struct {
		history []past
		by      asker
		want    time.Duration
	}{
		"nothing yet":                         {nil, stranger, 0},
		"one unanswered":                      {[]past{ago("expired", "evil", s)}, stranger, 0},
		"two: a gap":                          {[]past{ago("expired", "evil", 5*s), ago("expired", "evil", 9*s)}, stranger, 10 * s},
		"two rings of one prompt":             {[]past{{Status: "wait", Source: "evil", Rings: 2, Rung: now.Add(-5 * s)}}, stranger, 10 * s},
		"denied: a pause":                     {[]past{ago("deny", "evil", 10*s)}, stranger, 20 * s},
		"denied twice: twice the pause":       {[]past{ago("deny", "evil", 10*s), ago("deny", "evil", m)}, stranger, 50 * s},
		"three: the window, from the last":    {[]past{ago("wrong", "evil", m), ago("deny", "evil", 2*m), ago("expired", "evil", 4*m)}, stranger, 9 * m},
		"from many addresses":                 {[]past{ago("wait", "a", m), ago("wait", "b", 2*m), ago("wait", "c", 4*m)}, asker{source: "d"}, 9 * m},
		"four: twice the window":              {times(4, "expired", "evil", m), stranger, 19 * m},
		"six: eight times":                    {times(6, "expired", "evil", m), stranger, 79 * m},
		"many: the longest pause":             {times(20, "expired", "evil", m), stranger, 4*h - m},
		"a day later":                         {times(20, "expired", "evil", 24*h), stranger, 0},
		"a known place: one less for others":  {[]past{ago("expired", "evil", m), ago("expired", "evil", 2*m), home}, stranger, 9 * m},
		"and that one is for the known place": {[]past{ago("expired", "evil", m), ago("expired", "evil", 2*m), home}, owner, 0},
		"all three are gone":                  {[]past{ago("expired", "home", m), ago("expired", "evil", 2*m), ago("expired", "evil", 3*m), home}, owner, 7 * m},
		"an approval resets":                  {[]past{ago("accept", "home", s), ago("deny", "home", 2*s), ago("deny", "home", 3*s), ago("deny", "home", 4*s)}, owner, 0},
		"the owner's place counts":            {[]past{ago("deny", "home", 40*s), ago("wrong", "home", 41*s), ago("wrong", "home", 50*s), home}, owner, 9*m + 20*s},
		"a known browser is its own":          {times(20, "deny", "evil", s), mine, 0},
		"whatever another browser did":        {[]past{in("other", "deny", "evil", s), in("other", "deny", "evil", s), in("other", "deny", "evil", s)}, mine, 0},
		"and counts too":                      {[]past{in("mine", "expired", "a", m), in("mine", "expired", "b", m), in("mine", "expired", "c", m)}, mine, 9 * m},
		"and takes nothing from others":       {[]past{in("mine", "expired", "evil", m), in("mine", "expired", "evil", m), in("mine", "expired", "evil", m)}, stranger, 0},
		"and begins anew when it is approved": {[]past{in("mine", "accept", "a", m), in("mine", "deny", "a", m), in("mine", "deny", "a", m), in("mine", "deny", "a", m)}, mine, 0},
	} {
		if got := b.wait(now, c.history, c.by); got != c.want {
			t.Errorf("%s: wait %s, want %s", name, got, c.want)
		}
	}
}

// T7: of strangers, a network and all together are bounded, over all users; what is approved does not count.
func TestCrowdIsBounded(t *testing.T) {
	t.Parallel()
	b := Budget{Window: time.Minute, Source: 3, Total: 5}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := newCrowd()
	var last uuid.UUID
	open := func(source string) bool {
		if c.full(now, source, b) {
			return false
		}
		last = uuid.New()
		c.add(last, source, now)
		return true
	}
	for i, step := range []struct {
		source string
		want   bool
	}{{"a", true}, {"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", true}, {"d", false}} {
		if got := open(step.source); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	c.approved(last)
	if !open("d") {
		t.Error("an approved prompt still counts")
	}
	for range 1000 {
		c.approved(last)
		if !open("d") {
			t.Fatal("approved prompts count")
		}
	}
	if len(c.opened) > 100 {
		t.Errorf("%d prompts are kept", len(c.opened))
	}
	now = now.Add(b.Window)
	if !open("a") || len(c.from) != 1 || len(c.count) != 1 {
		t.Errorf("after the window %d prompts of %d networks are left", len(c.from), len(c.count))
	}
}

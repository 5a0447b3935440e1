package sms

import (
	"strings"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := Limits{Number: Limit{2, time.Hour}, User: Limit{3, time.Hour}, Source: Limit{4, time.Hour}}.orDefault()
	at := func(ago time.Duration, p past) past {
		p.Created = now.Add(-ago)
		return p
	}
	number, account, source := past{ToNumber: true}, past{ForUser: true}, past{FromIt: true}
	lost := past{ToNumber: true, ForUser: true, Undelivered: true}
	mine := past{ToNumber: true, ForUser: true, FromIt: true, Own: true}
	for name, c := range map[string]struct {
		h    history
		want string
	}{
		"nothing yet":     {history{}, ""},
		"too soon":        {history{sends: []past{at(10*time.Second, number)}}, "A code is on its way. You can ask for another one in 20 seconds."},
		"a second":        {history{sends: []past{at(29*time.Second, number)}}, "A code is on its way. You can ask for another one in 1 second."},
		"later":           {history{sends: []past{at(time.Minute, number)}}, ""},
		"number":          {history{sends: []past{at(time.Minute, number), at(20*time.Minute, number)}}, "Too many codes were sent to this number. Try again in 40 minutes, or use another way."},
		"number, in time": {history{sends: []past{at(time.Minute, number), at(time.Hour, number)}}, ""},
		"user":            {history{sends: []past{at(time.Minute, account), at(2*time.Minute, account), at(3*time.Minute, account)}}, "Too many codes were sent for this account. Try again in 57 minutes, or use another way."},
		"source":          {history{sends: []past{at(time.Minute, source), at(2*time.Minute, source), at(3*time.Minute, source), at(4*time.Minute, source)}}, "Too many codes were asked for from your network. Try again in 56 minutes, or use another way."},
		"undelivered":     {history{sends: []past{at(time.Second, lost), at(time.Second, lost), at(time.Second, lost)}}, ""},
		// Strangers who used up their count do not stand in the way of the owner at home, nor the other way round.
		"strangers asked, owner comes": {history{own: true, sends: []past{at(time.Minute, number), at(2*time.Minute, number)}}, ""},
		"owner asked, stranger comes":  {history{sends: []past{at(time.Minute, mine), at(2*time.Minute, mine)}}, ""},
		"owner asked often":            {history{own: true, sends: []past{at(time.Minute, mine), at(2*time.Minute, mine)}}, "Too many codes were sent to this number."},
	} {
		if got := l.refuse(now, c.h); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

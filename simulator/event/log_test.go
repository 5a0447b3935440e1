package event_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"countersign/simulator/event"
)

func header() event.Event {
	return event.Event{Kind: event.RunBegun, Header: &event.Header{Format: event.Format, Scenario: "smoke", Seed: 7, Clock: "virtual"}}
}

// write makes a log of the events.
func write(t *testing.T, ordered bool, events ...event.Event) string {
	t.Helper()
	var out bytes.Buffer
	l := event.NewLog(&out, ordered)
	for _, e := range events {
		l.Take(e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAnInstantIsOneOrder(t *testing.T) {
	t.Parallel()
	at := event.Millis(1500 * time.Microsecond)
	due := event.Event{At: at, Kind: event.LoginDue, Login: 1}
	select1 := event.Event{At: at, Kind: event.BrowserStep, Login: 1, Name: "select"}
	wait1 := event.Event{At: at, Kind: event.BrowserStep, Login: 1, Name: "wait"}
	rang1 := event.Event{At: at, Kind: event.PhoneStep, Login: 1, Phone: 1, Name: "rang"}
	done1 := event.Event{At: at, Kind: event.LoginEnded, Login: 1}
	due2 := event.Event{At: at, Kind: event.LoginDue, Login: 2}
	end := event.Event{At: at, Kind: event.RunEnded, Text: "done"}
	a := write(t, true, header(), due, select1, rang1, due2, wait1, done1, end)
	b := write(t, true, header(), due2, due, rang1, select1, wait1, done1, end)
	if a != b {
		t.Errorf("logs of one instant differ:\n%s\n%s", a, b)
	}
	late := event.Event{At: at - 1e6, Kind: event.LoginDue, Login: 3}
	if x, y := write(t, true, header(), due, late, due2, end), write(t, true, header(), due2, due, late, end); x != y {
		t.Errorf("a line that tells of earlier tears the instant:\n%s\n%s", x, y)
	}
	if c := write(t, true, header(), due, wait1, select1, rang1, due2, done1, end); c == a {
		t.Error("the order in which one side did things is lost")
	}
	var kinds []string
	if err := event.Read(strings.NewReader(a), func(e event.Event) error {
		kinds = append(kinds, string(e.Kind)+" "+e.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := "run_begun |login_due |browser_step select|browser_step wait|phone_step rang|login_ended |login_due |run_ended "
	if got := strings.Join(kinds, "|"); got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if !strings.Contains(a, `"at":1.5`) {
		t.Errorf("no milliseconds in %s", a)
	}
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	whole := write(t, false, header(), event.Event{Kind: event.LoginDue, Login: 1}, event.Event{Kind: event.RunEnded})
	for name, c := range map[string]struct{ log, want string }{
		"empty":     {"", "it is empty"},
		"no log":    {"hello", "line 1"},
		"no header": {whole[strings.Index(whole, "\n")+1:], "line 1: not the begin of a run"},
		"no JSON":   {strings.Replace(whole, "\n{", "\n#{", 1), "line 2"},
		"format":    {strings.Replace(whole, `"format":1`, `"format":9`, 1), "format 9"},
	} {
		err := event.Read(strings.NewReader(c.log), func(event.Event) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	read := 0
	err := event.Read(strings.NewReader(whole[:len(whole)-9]), func(event.Event) error { read++; return nil })
	if !errors.Is(err, io.ErrUnexpectedEOF) || read != 2 {
		t.Errorf("a log that breaks off: %v after %d lines", err, read)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAFullDiskIsToldAtTheEnd(t *testing.T) {
	t.Parallel()
	l := event.NewLog(full{}, false)
	for range 100 {
		l.Take(event.Event{Kind: event.LoginDue, Text: strings.Repeat("x", 1000)})
	}
	if l.Err() == nil || l.Close() == nil {
		t.Error("no error")
	}
}

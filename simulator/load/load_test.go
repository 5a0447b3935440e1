package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/simulator/browser"
	"countersign/simulator/load"
	"countersign/simulator/servertest"
)

func options(s *servertest.Server) load.Options {
	return load.Options{Base: s.URL, Token: servertest.AdminToken, Push: s, Phones: 4, Logins: 40, Rate: 400, Seed: 3}
}

func run(t *testing.T, o load.Options) *load.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report, err := load.Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, servertest.Options{})
	o := options(s)
	o.Mix = load.Mix{Approve: 2, Deny: 1, Wrong: 1}
	report := run(t, o)
	if err := report.Err(); err != nil {
		t.Errorf("%v: %+v", err, report.Wrong)
	}
	if report.Finished != 40 || report.Outcomes[browser.Approved] < 10 || report.Outcomes[browser.Denied] == 0 || report.Outcomes[browser.WrongNumber] == 0 {
		t.Errorf("outcomes %v", report.Outcomes)
	}
	counts := map[string]int64{}
	for _, step := range report.Steps {
		counts[step.Step] = step.Count
		if step.P50 > step.P99 || step.P99 > step.Max || step.Max == 0 {
			t.Errorf("percentiles %+v", step)
		}
	}
	if counts["login"] != 40 || counts["browser: wait"] != 40 || counts["phone: fetched"] != 40 || counts["answer to release"] != int64(report.Outcomes[browser.Approved]) {
		t.Errorf("counts %v", counts)
	}
	if s.Users() != 0 {
		t.Errorf("%d users are left", s.Users())
	}
	var text bytes.Buffer
	if err := report.Text(&text); err != nil || !strings.Contains(text.String(), "40 of 40 logins on 4 phones") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if _, err := json.Marshal(report); err != nil {
		t.Error(err)
	}
}

func TestCarelessServerIsFound(t *testing.T) {
	t.Parallel()
	o := options(servertest.New(t, servertest.Options{Careless: true}))
	report := run(t, o)
	if err := report.Err(); !errors.Is(err, load.ErrWrong) || report.WrongCount != 40 || len(report.Wrong) != 20 {
		t.Fatalf("%v, %d wrong, %d described", err, report.WrongCount, len(report.Wrong))
	}
	if why := report.Wrong[0].Why; why != "let in without an answer from the phone" {
		t.Error(why)
	}
}

func TestPeopleWhoIgnoreAreExpected(t *testing.T) {
	t.Parallel()
	o := options(servertest.New(t, servertest.Options{Window: 50 * time.Millisecond}))
	o.Logins, o.Mix = 4, load.Mix{Ignore: 1}
	report := run(t, o)
	if err := report.Err(); err != nil || report.Outcomes[browser.Expired] != 4 {
		t.Errorf("%v %v", err, report.Outcomes)
	}
}

func TestOpenAppSavesALostPush(t *testing.T) {
	t.Parallel()
	o := options(servertest.New(t, servertest.Options{PushFails: true}))
	o.Logins, o.OpenApp = 1, true
	report := run(t, o)
	if err := report.Err(); err != nil || report.PushFailed != 1 {
		t.Errorf("%v %+v", err, report)
	}
}

// One phone answers 10 logins due at once: the last waits for the nine before it, and its wait
// counts although it began late.
func TestQueueingCounts(t *testing.T) {
	t.Parallel()
	o := options(servertest.New(t, servertest.Options{Window: 30 * time.Millisecond}))
	o.Phones, o.Logins, o.Rate, o.Mix = 1, 10, 10_000, load.Mix{Ignore: 1}
	report := run(t, o)
	for _, step := range report.Steps {
		if step.Step == "login" && (step.Max < 300 || step.P50 < 120) {
			t.Errorf("ten logins of 30 ms each, one after the other: %+v", step)
		}
	}
	if report.Late == 0 {
		t.Error("no login is called late")
	}
}

func TestSecondRunReplacesLeftOverUsers(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, servertest.Options{})
	o := options(s)
	o.Logins, o.Keep = 4, true
	run(t, o)
	if s.Users() != 4 {
		t.Fatalf("%d users are kept", s.Users())
	}
	o.Keep = false
	if report := run(t, o); report.Err() != nil || s.Users() != 0 {
		t.Errorf("%v, %d users", report.Err(), s.Users())
	}
}

func TestInterruptionIsNoVerdict(t *testing.T) {
	t.Parallel()
	o := options(servertest.New(t, servertest.Options{}))
	o.Mix = load.Mix{Ignore: 1} // for a minute each
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o.Progress = func(string) { cancel() } // the phones are enrolled
	report, err := load.Run(ctx, o)
	if err != nil || !report.Interrupted || report.Err() != nil {
		t.Errorf("%+v %v", report, err)
	}
}

func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, servertest.Options{})
	for _, change := range []func(*load.Options){
		func(o *load.Options) { o.Base = "" },
		func(o *load.Options) { o.Push = nil },
		func(o *load.Options) { o.Rate = -1 },
		func(o *load.Options) { o.Mix.Deny = -1 },
		func(o *load.Options) { o.Token = "guess" },
		func(o *load.Options) { o.Base = "http://127.0.0.1:1" },
	} {
		o := options(s)
		change(&o)
		if _, err := load.Run(context.Background(), o); err == nil {
			t.Errorf("no error: %+v", o)
		}
	}
}

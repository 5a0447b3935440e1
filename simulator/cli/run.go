package cli

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/simulator/desk"
	"countersign/simulator/engine"
	"countersign/simulator/event"
	"countersign/simulator/fcm"
	"countersign/simulator/report"
	"countersign/simulator/scenario"
	"countersign/simulator/view"
)

// scenarioFlags say which scenario, and what of it is changed.
type scenarioFlags struct {
	Scenario string            `arg:"" help:"The scenario, a YAML file." type:"path"`
	Set      map[string]string `help:"Values for the scenario's variables." placeholder:"NAME=VALUE"`
}

// read reads the scenario's cases.
func (f scenarioFlags) read() ([]scenario.Scenario, error) {
	list, err := scenario.Read(os.DirFS(filepath.Dir(f.Scenario)), filepath.Base(f.Scenario), engine.Words(report.New().Metrics()), f.Set)
	if err != nil {
		return nil, &exitError{report.ExitScenario, err}
	}
	return list, nil
}

// shown is the scenario's path as it is shortest from here.
func (f scenarioFlags) shown() string {
	here, err := os.Getwd()
	if err != nil {
		return f.Scenario
	}
	short, err := filepath.Rel(here, f.Scenario)
	if err != nil || strings.HasPrefix(short, "..") {
		return f.Scenario
	}
	return short
}

// sets are the flags that set variables, for a command that repeats the run.
func (f scenarioFlags) sets() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.Set)) {
		fmt.Fprintf(&b, " --set %s=%s", name, f.Set[name])
	}
	return b.String()
}

// driveFlags say what a run is against, and how it is driven.
type driveFlags struct {
	doubleFlags
	coreFlags
	Server  string `help:"URL of a running server, instead of the scenario's." placeholder:"URL"`
	Token   string `help:"API token of an administrator there, who creates and deletes the users." env:"COUNTERSIGN_TOKEN" placeholder:"TOKEN"`
	Push    string `help:"URL of the running FCM double that that server sends to. Empty: one is served here, see --listen." placeholder:"URL"`
	Listen  string `help:"Address of the FCM double served here." default:"127.0.0.1:9099"`
	Program string `help:"The server's program, for nodes of our own." placeholder:"FILE" type:"path"`
	Dir     string `help:"Keep data and logs of nodes of our own here." placeholder:"DIR" type:"path"`
	Prefix  string `help:"Of the users' names; users of such names are replaced." default:"simulated-"`
	Keep    bool   `help:"Leave the users on a server that is not ours."`

	Events string `help:"Write the events of the run as JSON Lines." placeholder:"FILE" type:"path"`
	report.Files
	Desk    string `help:"Serve a page on this address by which the run is watched and steered." placeholder:"ADDRESS"`
	Profile string `help:"Write a CPU profile of the simulator itself, for go tool pprof." placeholder:"FILE" type:"path"`
	Quiet   bool   `short:"q" help:"Print the summary only."`
}

type runCmd struct {
	scenarioFlags
	driveFlags
	Seed  uint64 `help:"Of every choice, instead of the scenario's; 0 draws one where the scenario has none."`
	Clock string `help:"wall or virtual, instead of the scenario's; virtual is against the built-in stand-in server." enum:"wall,virtual," default:""`
}

// Help is the long text of --help.
func (runCmd) Help() string {
	return `Users and phones are made through the server's API, then the scenario's logins come. Each outcome is held against what the
phone did: a login let in without its phone's approval, or ended in any other way than its person's habit means, is wrong. A
login's time counts from when it was due.

The server is the scenario's: nodes of our own, or a running one by --server. That one must send its pushes to the FCM double:
start "simulator fcm", configure the server with its key file and endpoint, and pass --push; or let this command serve the double,
with --credentials naming the key file that the server is configured with.

Exit codes: 0 all well, 1 a check failed or a login ended wrong, 2 a threshold was crossed, 3 the scenario or the call is not
valid, 4 the target cannot be reached, 130 interrupted. Of several cases of a matrix the worst counts.`
}

// Run runs the scenario.
func (c *runCmd) Run(e *env) error {
	cases, err := c.read()
	if err != nil {
		return err
	}
	for i := range cases {
		if err := c.change(&cases[i]); err != nil {
			return &exitError{report.ExitScenario, err}
		}
	}
	command := "simulator run " + c.shown() + c.sets()
	if c.Clock != "" {
		command += " --clock " + c.Clock
	}
	return c.drive(e, cases, func(seed uint64) string { return fmt.Sprintf("%s --seed %d", command, seed) })
}

// change puts the flags' words over the scenario's.
func (c *runCmd) change(s *scenario.Scenario) error {
	switch {
	case c.Seed != 0:
		s.Seed = c.Seed
	case s.Seed == 0:
		var drawn [8]byte
		_, _ = rand.Read(drawn[:])                         // it never fails
		s.Seed = binary.BigEndian.Uint64(drawn[:])>>33 + 1 // short, so that it can be typed
	}
	if c.Server != "" {
		s.Target = scenario.Target{URL: c.Server, LoginFlow: s.Target.LoginFlow, SetupFlow: s.Target.SetupFlow}
	}
	if c.Clock != "" {
		s.Clock = c.Clock
	}
	if s.Clock == "virtual" {
		s.Target = scenario.Target{StandIn: true, Mode: s.Target.Mode, Window: s.Target.Window, Guarded: s.Target.Guarded}
	}
	ours := func(a scenario.Act) bool { return a.Do != "lose_phones" }
	if s.Target.Nodes == 0 && slices.ContainsFunc(s.World, ours) {
		return fmt.Errorf("%s acts upon nodes of our own, so that it needs them: leave --server and --clock away", c.Scenario)
	}
	if s.Target.Nodes == 0 && s.Target.URL == "" && !s.Target.StandIn {
		return errors.New("no server: the scenario has no target, and there is no --server")
	}
	return nil
}

// drive runs the cases, one after another, and tells the worst.
func (f *driveFlags) drive(e *env, cases []scenario.Scenario, command func(seed uint64) string) error {
	defer f.claim()()
	push, stop, err := f.push(e, cases)
	if err != nil {
		return err
	}
	defer stop()
	if f.Profile != "" {
		file, err := os.Create(f.Profile)
		if err != nil {
			return &exitError{report.ExitScenario, err}
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	worst := 0
	for i, s := range cases {
		name := caseName(s)
		if name != "" {
			tell(e.err, "case %d of %d: %s\n", i+1, len(cases), name)
		}
		code, err := f.one(e, s, push, command, name)
		if err != nil {
			return err
		}
		if severity(code) > severity(worst) {
			worst = code
		}
		if code == report.ExitInterrupted {
			break
		}
	}
	if worst != 0 {
		return &exitError{code: worst}
	}
	return nil
}

// severity orders exit codes.
func severity(code int) int {
	return slices.Index([]int{report.ExitPassed, report.ExitThreshold, report.ExitWrong, report.ExitScenario, report.ExitUnreachable, report.ExitInterrupted}, code)
}

// caseName names a case of a matrix; "" for a scenario without one.
func caseName(s scenario.Scenario) string {
	var parts []string
	for name, value := range s.Case {
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// one runs one case and writes its reports. An error is one of the reports' files: the run is over then all the same.
func (f *driveFlags) one(e *env, s scenario.Scenario, push engine.Push, command func(seed uint64) string, name string) (code int, err error) {
	tell(e.err, "seed %d\n", s.Seed)
	collector := report.New()
	var sinks event.Sinks
	if f.Events != "" {
		file, err := os.Create(perCase(f.Events, name))
		if err != nil {
			return 0, &exitError{report.ExitScenario, err}
		}
		log := event.NewLog(file, s.Clock == "virtual")
		sinks = append(sinks, log)
		defer func() {
			if closed := errors.Join(log.Close(), file.Close()); closed != nil {
				tell(e.err, "simulator: %v\n", closed)
				if code == 0 {
					code = report.ExitWrong
				}
			}
		}()
	}
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	var control engine.Control
	hub := desk.NewHub(collector, nil)
	watched := f.watch(ctx, cancel, e, hub, &control, s.Clock == "virtual")
	_, failed := engine.Run(ctx, engine.Options{
		Scenario: s, Seed: s.Seed, Token: f.Token, Push: push, Program: f.Program, Dir: f.Dir, Sink: append(sinks, hub), Meter: collector,
		Prefix: f.Prefix, Keep: f.Keep, Control: &control, Version: version(), Command: command(s.Seed),
	})
	if failed != nil {
		cancel() // it may have failed before it could tell of its end
	}
	watched()
	summary := collector.Summary()
	files := f.Files
	for _, path := range files.Paths() {
		*path = perCase(*path, name)
	}
	written := errors.Join(summary.Text(e.out, terminal(e.out)), files.Write(&summary))
	if failed != nil {
		tell(e.err, "simulator: %v\n", failed)
	}
	code = summary.ExitCode()
	if written != nil {
		tell(e.err, "simulator: %v\n", written)
		code = max(code, report.ExitWrong)
	}
	return code, nil
}

// lastWord is for how long pages may hear how the run ended, which they are told four times a second at most.
const lastWord = 500 * time.Millisecond

// watch shows the run while it goes on, until the function that it returns is called. A virtual run is over too soon to be watched,
// and its clock would wait for the terminal.
func (f *driveFlags) watch(ctx context.Context, quit context.CancelFunc, e *env, hub *desk.Hub, control *engine.Control, virtual bool) (stop func()) {
	if virtual {
		return func() {}
	}
	var watching sync.WaitGroup
	served, stopServing := context.WithCancel(ctx)
	if f.Desk != "" {
		watching.Go(func() {
			warnIfPublic(e, f.Desk)
			err := serve(served, f.Desk, desk.New(hub, control, desk.Options{}), func(base string) error {
				tell(e.err, "watch and steer the run on %s\n", base)
				return nil
			})
			if err != nil {
				tell(e.err, "simulator: %v\n", err)
			}
		})
	}
	if !f.Quiet {
		watching.Go(func() {
			if err := view.Run(ctx, hub, control, e.in, e.err); errors.Is(err, view.ErrQuit) {
				quit()
			}
		})
	}
	return func() {
		if f.Desk != "" {
			select {
			case <-time.After(lastWord):
			case <-ctx.Done():
			}
		}
		stopServing()
		watching.Wait()
	}
}

// perCase is a file's name with the case's in it, so that cases do not overwrite each other.
func perCase(path, name string) string {
	if path == "" || name == "" {
		return path
	}
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "." + strings.NewReplacer("/", "_", " ", "_").Replace(name) + ext
}

// push is the service that the server sends to, where that is not ours.
func (f *driveFlags) push(e *env, cases []scenario.Scenario) (engine.Push, func(), error) {
	if !slices.ContainsFunc(cases, func(s scenario.Scenario) bool { return s.Target.URL != "" }) {
		return nil, func() {}, nil
	}
	if f.Token == "" {
		return nil, nil, &exitError{report.ExitScenario, errors.New("--token, or COUNTERSIGN_TOKEN, is needed for a server that is not ours")}
	}
	if f.Push != "" {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 1000
		return &fcm.Client{Base: f.Push, HTTP: &http.Client{Transport: transport}}, transport.CloseIdleConnections, nil
	}
	d, err := f.double(fcm.Options{Seed: cases[0].Seed})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(e.ctx)
	up, served := make(chan error, 1), make(chan error, 1)
	go func() {
		err := serve(ctx, f.Listen, d, func(base string) error {
			up <- f.announce(e, d, base)
			return nil
		})
		served <- err
		up <- err
	}()
	stop := func() {
		cancel()
		if err := <-served; err != nil {
			tell(e.err, "simulator: push service: %v\n", err)
		}
		d.Close()
	}
	if err := <-up; err != nil {
		stop()
		return nil, nil, err
	}
	return engine.Local(d), stop, nil
}

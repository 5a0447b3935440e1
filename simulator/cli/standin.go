package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/standin"
)

type standInCmd struct {
	coreFlags
	Listen string        `help:"Address to serve on." default:"127.0.0.1:9300"`
	Mode   string        `help:"How the answer is matched." default:"number_matching_2"`
	Window time.Duration `help:"How long a phone may answer." default:"1m"`

	Guarded bool   `help:"Do all that the attack pack looks for."`
	Flaw    string `help:"Do one thing wrong, guarded as it is otherwise, to see what finds it: a number from the list below." placeholder:"N"`
}

// Help is the long text of --help.
func (standInCmd) Help() string {
	var b strings.Builder
	b.WriteString(`The least of the protocol, in memory: for a phone app in the making, and to measure what the simulator itself can do. It is its own
push service: a scenario is run against it with --push and the same URL. What it lets through proves nothing about a real server.

What it can do wrong:
`)
	for i, flaw := range standin.Flaws() {
		fmt.Fprintf(&b, "\n%d: %s\n", i+1, flaw)
	}
	return b.String()
}

// flaw is what it is to do wrong; "" is nothing.
func (c *standInCmd) flaw() (standin.Flaw, error) {
	if c.Flaw == "" {
		return "", nil
	}
	n, err := strconv.Atoi(c.Flaw)
	if all := standin.Flaws(); err == nil && n >= 1 && n <= len(all) {
		return all[n-1], nil
	}
	return "", fmt.Errorf("--flaw: %q is no number of the list in --help", c.Flaw)
}

// Run serves the stand-in until interrupted.
func (c *standInCmd) Run(e *env) error {
	flaw, err := c.flaw()
	if err != nil {
		return err
	}
	defer c.claim()()
	s := standin.Start(standin.Options{Mode: wire.Mode(c.Mode), Window: c.Window, Guarded: c.Guarded || flaw != "", Flaw: flaw})
	defer s.Close()
	warnIfPublic(e, c.Listen)
	return serve(e.ctx, c.Listen, s.Handler, func(base string) error {
		s.URL = base + "/"
		tell(e.err, "Stand-in server on %s\n  token        %s\n  push         %s\n", base, standin.AdminToken, base)
		return nil
	})
}

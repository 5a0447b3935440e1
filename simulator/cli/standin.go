package cli

import (
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/servertest"
)

type standInCmd struct {
	Listen string        `help:"Address to serve on." default:"127.0.0.1:9300"`
	Mode   string        `help:"How the answer is matched." default:"number_matching_2"`
	Window time.Duration `help:"How long a phone may answer." default:"1m"`
}

// Help is the long text of --help.
func (standInCmd) Help() string {
	return `The least of the protocol, in memory: for a phone app in the making, and to measure what the simulator itself can do. It sends no
pushes: phones have to poll. What it lets through proves nothing about a real server.`
}

// Run serves the stand-in until interrupted.
func (c *standInCmd) Run(e *env) error {
	s := servertest.Start(servertest.Options{Mode: wire.Mode(c.Mode), Window: c.Window})
	defer s.Close()
	warnIfPublic(e, c.Listen)
	return serve(e.ctx, c.Listen, s.Handler, func(base string) error {
		s.URL = base + "/"
		tell(e.err, "Stand-in server on %s\n  token        %s\n", base, servertest.AdminToken)
		return nil
	})
}

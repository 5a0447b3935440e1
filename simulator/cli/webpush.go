package cli

import "countersign/simulator/webpush"

type webpushCmd struct {
	Listen string `help:"Address to serve on." default:"127.0.0.1:9199"`
}

// Help is the long text of --help.
func (webpushCmd) Help() string {
	return `The server needs one change to use it: this address among its push.webpush.allowed_hosts.
POST /-/subscriptions gives what a browser's pushManager.subscribe would; GET /-/ lists all controls.`
}

// Run serves the double until interrupted.
func (c *webpushCmd) Run(e *env) error {
	d := webpush.New(webpush.Options{})
	warnIfPublic(e, c.Listen)
	return serve(e.ctx, c.Listen, d, func(base string) error {
		d.SetBase(base)
		tell(e.err, "Web Push double on %s\n  controls     %s/-/\n", base, base)
		return nil
	})
}

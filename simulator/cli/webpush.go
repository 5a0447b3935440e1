package cli

import (
	"countersign/mobile/wire"
	"countersign/simulator/webpush"
)

type webpushCmd struct {
	secureFlags
	Listen string `help:"Address to serve on." default:"127.0.0.1:9199"`
}

// Help is the long text of --help.
func (webpushCmd) Help() string {
	return `The server needs one change to use it: this address among its push.webpush.allowed_hosts.
POST /-/subscriptions gives what a browser's pushManager.subscribe would; GET /-/ lists all controls.`
}

// Run serves the double until interrupted.
func (c *webpushCmd) Run(e *env) error {
	return serveWebPush(e, c.secureFlags, c.Listen, "Web Push double", webpush.Options{})
}

type unifiedpushCmd struct {
	secureFlags
	Listen string `help:"Address to serve on." default:"127.0.0.1:9200"`
	AnyKey bool   `help:"Register apps that bring no VAPID key; there are servers that do, and servers that do not."`
}

// Help is the long text of --help.
func (unifiedpushCmd) Help() string {
	return `The server behind a distributor, as ntfy is: its endpoints are Web Push, and say by GET that they are UnifiedPush. The server
under test needs one change to use it: this address among its push.webpush.allowed_hosts. POST /-/subscriptions with an
application_server_key registers an app; GET /-/ lists all controls.`
}

// Run serves the double until interrupted.
func (c *unifiedpushCmd) Run(e *env) error {
	return serveWebPush(e, c.secureFlags, c.Listen, "UnifiedPush double", webpush.Options{Channel: wire.ChannelUnifiedPush, NeedKey: !c.AnyKey})
}

func serveWebPush(e *env, secure secureFlags, listen, name string, o webpush.Options) error {
	d := webpush.New(o)
	warnIfPublic(e, listen)
	return secure.serve(e, listen, d, func(base string) error {
		d.SetBase(base)
		tell(e.err, "%s on %s\n  controls     %s/-/\n", name, base, base)
		return nil
	})
}

package cli

import (
	"fmt"
	"time"

	"countersign/cmd/app"
	"countersign/core/config"
)

type relayCmd struct {
	Serve relayServeCmd `cmd:"" default:"withargs" help:"Ring phones for other servers (the default)."`
	Admit relayAdmitCmd `cmd:"" help:"Make the ticket by which this relay takes another server."`
}

// Help is the long text of --help.
func (relayCmd) Help() string {
	return `A relay needs credentials at Google (push.fcm) or Apple (push.apns), a secret key, and no database. It sees neither who
logs in nor where. docs/push.md says how phones, servers and relays come together.`
}

type relayServeCmd struct {
	server
	Listen string `placeholder:"ADDRESS" help:"Address to listen on (default 127.0.0.1:9000)."`
}

// Run serves until it is told to stop.
func (s *relayServeCmd) Run(e *env) error {
	var more []config.Override
	if s.Listen != "" {
		more = append(more, config.Override{Path: "listen", Value: s.Listen, Source: "--listen"})
	}
	c, _, err := s.load(e, more...)
	if err != nil {
		return err
	}
	r, err := app.OpenRelay(e.ctx, c, c.Logger(e.err))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(e.out, "Countersign %s relays on %s\n", app.Version, r.Addr())
	return r.Run(e.ctx)
}

type relayAdmitCmd struct {
	server
	Instance string `arg:"" help:"The server's name: relay_instance in its /api/v3/authenticators/mobile/push_channels/."`
	Name     string `help:"For whom, for the log." placeholder:"TEXT"`
	Days     int    `help:"How long it is good." default:"365"`
}

// Run prints a ticket.
func (a *relayAdmitCmd) Run(e *env) error {
	if a.Days < 1 {
		return fmt.Errorf("--days: at least 1")
	}
	c, _, err := a.load(e)
	if err != nil {
		return err
	}
	ticket, err := app.RelayTicket(c, a.Instance, a.Name, time.Duration(a.Days)*24*time.Hour)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, ticket)
	return err
}

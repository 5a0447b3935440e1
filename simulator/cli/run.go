package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"countersign/simulator/fcm"
	"countersign/simulator/load"
	"countersign/simulator/phone"
)

type runCmd struct {
	doubleFlags
	Server string `help:"URL of the server." default:"http://127.0.0.1:9000"`
	Token  string `help:"API token of an administrator, who creates and deletes the users." env:"COUNTERSIGN_TOKEN" required:"" placeholder:"TOKEN"`
	Push   string `help:"URL of the running FCM double that the server sends to. Empty: one is served here, see --listen." placeholder:"URL"`
	Listen string `help:"Address of the FCM double served here." default:"127.0.0.1:9099"`

	Phones  int                `help:"Users, each with one phone." default:"10"`
	Logins  int                `help:"Logins in all." default:"100"`
	Rate    float64            `help:"Logins that arrive a second." default:"10"`
	Mix     map[string]float64 `help:"Shares of what people do: approve, deny, wrong, ignore." default:"approve=1" mapsep:"," placeholder:"approve=90,deny=10"`
	Seed    uint64             `help:"Of the drawn plans." default:"1"`
	Stock   bool               `help:"Phones that cannot fetch: they show only what the push carries."`
	OpenApp bool               `help:"People open the app when their browser says that the push did not go out."`
	NoPage  bool               `help:"Do not load the login page before each login."`
	Flow    string             `help:"Slug of the login flow." default:"default-authentication-flow"`
	Setup   string             `help:"Slug of the phone's set-up flow." default:"default-authenticator-mobile-setup"`
	Prefix  string             `help:"Of the users' names; users of such names are replaced." default:"simulated-"`
	Keep    bool               `help:"Leave the users on the server."`

	JSON   bool   `help:"Print the report as JSON."`
	Output string `help:"Write the report as JSON to this file as well." placeholder:"FILE" type:"path"`
}

// Help is the long text of --help.
func (runCmd) Help() string {
	return `Users and phones are made through the server's API, then logins arrive at the given rate however
slow the server is (open loop); a login's time counts from when it was due. Each outcome is held
against what the phone did: a login let in without its phone's approval, or ended in any other way
than planned, makes the exit code 1. A server that limits requests to a phone after a denial makes
such logins wrong: give the run as many phones as logins where people deny, or tap wrong numbers.

The server must send its pushes to the FCM double: start "simulator fcm", configure the server with
its key file and endpoint, and pass --push; or let this command serve the double with --credentials
naming the key file that the server is configured with.`
}

func (c *runCmd) mix() (load.Mix, error) {
	var m load.Mix
	for name, share := range c.Mix {
		switch name {
		case "approve":
			m.Approve = share
		case "deny":
			m.Deny = share
		case "wrong":
			m.Wrong = share
		case "ignore":
			m.Ignore = share
		default:
			return m, fmt.Errorf("--mix: %q is not approve, deny, wrong or ignore", name)
		}
	}
	return m, nil
}

// Run runs the load and prints its report.
func (c *runCmd) Run(e *env) error {
	mix, err := c.mix()
	if err != nil {
		return err
	}
	if c.Push != "" {
		return c.load(e, mix, &fcm.Client{Base: c.Push, HTTP: &http.Client{Transport: wide(c.Phones)}})
	}
	d, err := c.double(fcm.Options{Seed: c.Seed})
	if err != nil {
		return err
	}
	defer d.Close()
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	up := make(chan error, 1)
	served := make(chan error, 1)
	go func() {
		err := serve(ctx, c.Listen, d, func(base string) error {
			up <- c.announce(e, d, base)
			return nil
		})
		served <- err
		up <- err
	}()
	if err := <-up; err != nil {
		return err
	}
	err = c.load(e, mix, d)
	stop()
	if ended := <-served; err == nil {
		err = ended
	}
	return err
}

// wide lets each phone hold its event stream.
func wide(phones int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = phones
	return t
}

func (c *runCmd) load(e *env, mix load.Mix, push phone.Source) error {
	report, err := load.Run(e.ctx, load.Options{
		Base: c.Server, Token: c.Token, Push: push, Phones: c.Phones, Logins: c.Logins, Rate: c.Rate, Mix: mix, Seed: c.Seed,
		Stock: c.Stock, OpenApp: c.OpenApp, NoPage: c.NoPage, LoginFlow: c.Flow, SetupFlow: c.Setup, Prefix: c.Prefix, Keep: c.Keep,
		Progress: func(text string) { tell(e.err, "%s\n", text) },
	})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if c.Output != "" {
		if err := os.WriteFile(c.Output, text, 0o600); err != nil {
			return err
		}
	}
	if c.JSON {
		_, err = e.out.Write(text)
	} else {
		err = report.Text(e.out)
	}
	switch {
	case err != nil:
		return err
	case report.Err() != nil:
		return report.Err()
	case report.Interrupted:
		return context.Canceled
	}
	return nil
}

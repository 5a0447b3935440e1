package cli

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/fcm"
	"countersign/simulator/maker"
	"countersign/simulator/page"
	"countersign/simulator/phone"
)

type phoneCmd struct {
	Listen  string        `help:"Address to serve the phone's page on." default:"127.0.0.1:9100"`
	Push    string        `help:"URL of the FCM double that the server sends to; empty: no push, the person checks by hand." default:"http://127.0.0.1:9099"`
	Fetch   string        `help:"How the phone learns of logins beside its pushes: push (not at all), poll (a held request), or socket (a WebSocket)." enum:"push,poll,socket" default:"push"`
	Skew    time.Duration `help:"How far the phone's own clock is ahead; negative: behind."`
	Name    string        `help:"Of the phone." default:"Simulated phone"`
	Payload string        `help:"Enrol at once with this text of a QR code; - reads it from standard input." placeholder:"JSON"`
	Login   string        `help:"URL of the login page, linked from the phone's." placeholder:"URL"`
	Stock   bool          `help:"A phone that cannot fetch: it shows only what the push carries."`
	Signs   string        `help:"Whether the phone has keys: none, one for possession, or two, of which the second stands for its owner's finger: one that signs, or a passkey." enum:"none,possession,verification,passkey" default:"none"`
	Maker   string        `help:"Directory of the phone's maker, which attests its keys; it is made if it is not there, with the files that a server is configured with." placeholder:"DIR"`
	Attests string        `help:"What is wrong with the attestation: good (nothing), strongbox (nothing, in a chip), software, revoked, rooted, foreign, untrusted, expired …" default:"good"`
	Answer  string        `help:"Who answers: the person (hand), or the phone by itself." enum:"hand,accept,deny,ignore" default:"hand"`
	After   time.Duration `help:"How long the phone waits before it answers by itself."`
}

// Help is the long text of --help.
func (phoneCmd) Help() string {
	return `Open the page it prints, on this machine or on a real phone. To enrol: log in, open the set-up
page of a phone, and paste the text of its QR code.

--answer accept taps "accept" where the server asks to accept or deny; numbers it cannot know.`
}

// Run serves the phone until interrupted.
func (c *phoneCmd) Run(e *env) error {
	o := phone.Options{Stock: c.Stock, Signs: c.Signs != "none", Behaviour: c.behaviour(), Info: wire.Info{Hostname: c.Name}}
	o.Fetch, o.Skew = phone.Fetch(c.Fetch), c.Skew
	o.Passkey = c.Signs == "passkey"
	o.Verifies = o.Passkey || c.Signs == "verification"
	if c.Push != "" {
		o.Push = &fcm.Client{Base: c.Push, HTTP: &http.Client{}}
	}
	if c.Maker != "" {
		var err error
		if o.Maker, err = maker.Open(c.Maker); err != nil {
			return err
		}
		if o.Attests = maker.Fault(c.Attests); !slices.Contains(maker.Faults(), o.Attests) {
			return fmt.Errorf("--attests: %q is none of %v", c.Attests, maker.Faults())
		}
	}
	p := phone.New(o)
	defer p.Close()
	if err := p.Connect(e.ctx); err != nil {
		return fmt.Errorf("%w (is `simulator fcm` running at %s?)", err, c.Push)
	}
	if err := c.enrol(e, p); err != nil {
		return err
	}
	warnIfPublic(e, c.Listen)
	return serve(e.ctx, c.Listen, page.New(p, page.Options{Name: c.Name, Login: c.Login}), func(base string) error {
		tell(e.err, "%s on %s/\n", c.Name, base)
		return nil
	})
}

func (c *phoneCmd) enrol(e *env, p *phone.Phone) error {
	text := []byte(c.Payload)
	switch c.Payload {
	case "":
		return nil
	case "-":
		var err error
		if text, err = io.ReadAll(io.LimitReader(e.in, 64<<10)); err != nil {
			return err
		}
	}
	account, err := p.EnrolFromQR(e.ctx, text)
	if err != nil {
		return err
	}
	if account.Fingerprint != "" {
		_, _ = fmt.Fprintf(e.out, "compare with the page and confirm it there: %s\n", account.Fingerprint)
	}
	p.SettleLater(account.Device)
	return nil
}

func (c *phoneCmd) behaviour() phone.Behaviour {
	var b phone.Behaviour
	switch c.Answer {
	case "accept":
		b = phone.Approve(&phone.Screen{})
	case "deny":
		b = phone.Deny
	case "ignore":
		b = phone.Ignore
	default:
		return nil
	}
	if c.After > 0 {
		b = phone.Delay(c.After, b)
	}
	return b
}

package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"countersign/simulator/attack"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
	"countersign/simulator/report"
)

// targetFlags name the server of a command that looks at it from outside.
type targetFlags struct {
	Server string `help:"URL of the server." default:"http://127.0.0.1:9000"`
	Token  string `help:"API token of an administrator, who creates and deletes the users." env:"COUNTERSIGN_TOKEN" required:"" placeholder:"TOKEN"`
	Flow   string `help:"Slug of the login flow." default:"default-authentication-flow"`
	Setup  string `help:"Slug of the phone's set-up flow." default:"default-authenticator-mobile-setup"`
	Prefix string `help:"Of the users' names; users of such names are replaced." default:"attack-"`
	JSON   string `help:"Write the report as JSON to this file as well; - is the terminal, in place of the table." placeholder:"FILE" type:"path"`
	JUnit  string `name:"junit" help:"Write the report as JUnit XML to this file." placeholder:"FILE" type:"path"`
}

// probeFlags are those of a command that attacks.
type probeFlags struct {
	targetFlags
	Push     string        `help:"URL of the running FCM double that the server sends to; what needs pushes is tried then, too." placeholder:"URL"`
	Seed     uint64        `help:"Of what is drawn, such as wrong numbers." default:"1"`
	Tries    int           `help:"Logins of the push bombing." default:"200"`
	Rings    int           `help:"Rings that they may cause." default:"3"`
	Patience time.Duration `help:"How long to wait for a question to expire, at the most." default:"3m"`
}

// source is the push service, nil for none.
func (f probeFlags) source() phone.Source {
	if f.Push == "" {
		return nil
	}
	return &fcm.Client{Base: f.Push, HTTP: &http.Client{}}
}

func (f probeFlags) options(e *env) attack.Options {
	return attack.Options{
		Base: f.Server, Token: f.Token, Seed: f.Seed, Tries: f.Tries, Rings: f.Rings, Patience: f.Patience, Push: f.source(),
		Prefix: f.Prefix, LoginFlow: f.Flow, SetupFlow: f.Setup, Progress: func(text string) { tell(e.err, "%s\n", text) },
	}
}

type attackCmd struct {
	probeFlags
	Only []string `help:"Names of attacks, parted by commas; all, if it is left out." placeholder:"NAME,..."`
}

// Help is the long text of --help.
func (attackCmd) Help() string {
	var b strings.Builder
	b.WriteString(`Attacks a server that speaks the protocol of docs/phone-app.md as thieves of passwords, QR codes and phones would,
each time on users of its own, whom it removes in the end. It needs no push service: its phones ask by themselves.

Each attack is held (the server did what is expected of it), broken, not applicable (as the server is set up), or failed
(it could not be carried out). The exit code is 0 if nothing broke or failed, 1 if something broke, 4 if the server is
not there or an attack failed, 130 after an interruption. docs/attack-pack.md says what each verdict means.

Attacks:
`)
	for _, a := range attack.All() {
		fmt.Fprintf(&b, "\n%s: %s\n", a.Name, a.Does)
	}
	return b.String()
}

// Run carries the attacks out and prints the report.
func (c *attackCmd) Run(e *env) error {
	o := c.options(e)
	o.Only = c.Only
	found, err := attack.Run(e.ctx, o)
	if err != nil {
		return err
	}
	if err := c.write(e, found); err != nil {
		return err
	}
	if found.Interrupted {
		return context.Canceled
	}
	return found.Err()
}

// findings are what a look at a server from outside gives.
type findings interface {
	Text(w io.Writer, width int) error
	JSON(w io.Writer) error
	JUnit(w io.Writer) error
}

// write puts a report where the flags say.
func (f targetFlags) write(e *env, r findings) error {
	for name, form := range map[string]func(io.Writer) error{f.JSON: r.JSON, f.JUnit: r.JUnit} {
		if name == "" || name == "-" {
			continue
		}
		if err := report.WriteFile(name, form); err != nil {
			return err
		}
	}
	if f.JSON == "-" {
		return r.JSON(e.out)
	}
	return r.Text(e.out, terminal(e.out).Width)
}

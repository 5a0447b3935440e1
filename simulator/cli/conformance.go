package cli

import (
	"context"

	"countersign/simulator/conformance"
)

type conformanceCmd struct {
	probeFlags
	Skew bool `help:"Try phones of all kinds and versions against all that a set-up stage may demand, and print the matrix."`
}

// Help is the long text of --help.
func (conformanceCmd) Help() string {
	return `Looks at a server from outside by the requirements T1 to T24 on a push authenticator's server: each is held, broken, not applicable
(as the server is set up), or not observable, and then it says why. What proves a requirement are the attacks of "simulator attack".

With --skew it makes a set-up flow for each demand (bearer, signed, signed_user_verified), has each kind of phone enrol, approve and
deny there, and removes all again: each cell works, or is refused as expected, or is broken.

Exit codes are those of "simulator attack": 0, 1 if something is broken, 4 if the server is not there, 130 after an interruption.`
}

// Run looks at the server and prints what it saw.
func (c *conformanceCmd) Run(e *env) error {
	if c.Skew {
		return c.skew(e)
	}
	found, err := conformance.Run(e.ctx, c.options(e))
	if err != nil {
		return err
	}
	if err := c.write(e, found); err != nil {
		return err
	}
	if found.Interrupted() {
		return context.Canceled
	}
	return found.Err()
}

func (c *conformanceCmd) skew(e *env) error {
	o := conformance.SkewOptions{
		Base: c.Server, Token: c.Token, LoginFlow: c.Flow, Push: c.source(), Progress: func(text string) { tell(e.err, "%s\n", text) },
	}
	found, err := conformance.Skew(e.ctx, o)
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

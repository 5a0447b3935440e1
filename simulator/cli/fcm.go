package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"

	"countersign/simulator/fcm"
)

type doubleFlags struct {
	Credentials string `help:"Service account key file for the server: read if it is there, written if not." placeholder:"FILE" type:"path"`
	Project     string `help:"Firebase project of a new service account." default:"countersign-demo"`
}

// double makes the double and, given its base URL, its key file.
func (f doubleFlags) double(o fcm.Options) (*fcm.Double, error) {
	o.Project = f.Project
	if f.Credentials != "" {
		file, err := os.ReadFile(f.Credentials)
		switch {
		case err == nil:
			o.Credentials = file
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return fcm.New(o)
}

// announce writes the key file and says where the double is.
func (f doubleFlags) announce(e *env, d *fcm.Double, base string) error {
	if f.Credentials != "" {
		file, err := d.ServiceAccount(base)
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.Credentials, file, 0o600); err != nil {
			return err
		}
	}
	credentials := f.Credentials
	if credentials == "" {
		credentials = "GET " + base + "/-/service-account"
	}
	tell(e.err, "FCM double on %s\n  project      %s\n  credentials  %s\n  endpoint     %s/v1\n  controls     %s/-/\n",
		base, d.Project(), credentials, base, base)
	return nil
}

type fcmCmd struct {
	doubleFlags
	secureFlags
	Listen     string `help:"Address to serve on." default:"127.0.0.1:9099"`
	AcceptAny  bool   `help:"Take sends to addresses that nobody registered, instead of answering 404 UNREGISTERED."`
	Conditions string `help:"JSON file of what every send meets: latency, error rate, outages, quota. See GET /-/." placeholder:"FILE" type:"existingfile"`
	Seed       uint64 `help:"Of every random draw." default:"1"`
	NoQuotas   bool   `help:"Without the original's quotas: 600 000 messages a minute, and to one device 240 a minute and 5000 an hour. Conditions that name quotas replace them."`
	Quiet      bool   `help:"Do not log each send."`
}

// Help is the long text of --help.
func (fcmCmd) Help() string {
	return `The server needs two changes to use it: the key file as its FCM credentials, and the
endpoint as its FCM base URL. Phones connect to the same address. Faults are set at any time by
PUT /-/conditions and PUT /-/addresses/ADDRESS/script, sleep (Doze) and demotion of a phone by
PUT /-/addresses/ADDRESS/device; GET /-/ lists all controls.

With --tls it speaks HTTP/2 over TLS as the original does. Its certificate is made at each start.`
}

// Run serves the double until interrupted.
func (c *fcmCmd) Run(e *env) error {
	o := fcm.Options{AcceptAny: c.AcceptAny, Seed: c.Seed}
	if !c.Quiet {
		o.Log = slog.New(slog.NewTextHandler(e.err, nil))
	}
	d, err := c.double(o)
	if err != nil {
		return err
	}
	defer d.Close()
	conditions := fcm.OriginalQuotas()
	if c.NoQuotas {
		conditions = fcm.Conditions{}
	}
	if c.Conditions != "" {
		text, err := os.ReadFile(c.Conditions)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &conditions); err != nil {
			return fmt.Errorf("%s: %w", c.Conditions, err)
		}
	}
	if err := d.SetConditions(conditions); err != nil {
		return fmt.Errorf("%s: %w", c.Conditions, err)
	}
	warnIfPublic(e, c.Listen)
	return c.serve(e, c.Listen, d, func(base string) error { return c.announce(e, d, base) })
}

// warnIfPublic says when others than this machine may reach what has no login.
func warnIfPublic(e *env, address string) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return // serving will say what is wrong
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		tell(e.err, "Whoever reaches %s controls this: it has no login.\n", address)
	}
}

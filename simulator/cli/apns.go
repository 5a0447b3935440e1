package cli

import (
	"errors"
	"io/fs"
	"os"

	"countersign/simulator/apns"
)

type apnsCmd struct {
	TLS    string `name:"tls" help:"Write the certificate that is made at each start to this file: have the server trust it by SSL_CERT_FILE." default:"apns-certificate.pem" placeholder:"FILE" type:"path"`
	Listen string `help:"Address to serve on." default:"127.0.0.1:9443"`
	Key    string `help:"The .p8 key for the server: read if it is there, written if not." default:"apns-key.p8" placeholder:"FILE" type:"path"`
	KeyID  string `name:"key-id" help:"Of the key." default:"SIMULATED1"`
	Team   string `help:"Id of the developer team." default:"SIMULATED2"`
	Topic  string `help:"Bundle id of the app." default:"org.example.countersign"`
	Newest bool   `help:"Keep of several notifications for a phone that is offline the newest alone, as the original does." default:"true" negatable:""`
}

// Help is the long text of --help.
func (apnsCmd) Help() string {
	return `It speaks HTTP/2 over TLS alone, as the original does. The server needs its key file, key id, team and topic, and its address as
push.apns.url. POST /-/addresses gives a device token; POST /-/faults with {"faults": [{"reason": "ExpiredProviderToken"}]} has
the next notification meet a reason of Apple's table; GET /-/ lists all controls and reasons.`
}

// Run serves the double until interrupted.
func (c *apnsCmd) Run(e *env) error {
	o := apns.Options{KeyID: c.KeyID, Team: c.Team, Topic: c.Topic, KeepAll: !c.Newest}
	file, err := os.ReadFile(c.Key)
	switch {
	case err == nil:
		o.Key = string(file)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	d, err := apns.New(o)
	if err != nil {
		return err
	}
	key, err := d.Key()
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Key, []byte(key), 0o600); err != nil {
		return err
	}
	warnIfPublic(e, c.Listen)
	return secureFlags{TLS: c.TLS}.serve(e, c.Listen, d, func(base string) error {
		tell(e.err, "APNs double on %s\n  key          %s, key id %s, team %s, topic %s\n  controls     %s/-/\n", base, c.Key, d.KeyID(), d.Team(), d.Topic(), base)
		return nil
	})
}

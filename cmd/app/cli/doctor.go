package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/cmd/app"
	"countersign/core/db"
	"countersign/push/apns"
	"countersign/push/fcm"
	"countersign/push/relay"
)

type doctorCmd struct{ server }

// Run checks one thing after the other and says what to do about what is wrong. It changes nothing but that the
// managed PostgreSQL is started and stopped; it fails if anything does.
func (d *doctorCmd) Run(e *env) error {
	bad := false
	say := func(what string, err error, help string) {
		if err == nil {
			_, _ = fmt.Fprintf(e.out, "ok    %s\n", what)
			return
		}
		bad = true
		_, _ = fmt.Fprintf(e.out, "WRONG %s: %v\n", what, err)
		if help != "" {
			_, _ = fmt.Fprintf(e.out, "      %s\n", help)
		}
	}
	c, _, err := d.load(e)
	say("settings", err, "`countersign config --reference` lists all settings.")
	if err != nil {
		return errSilent
	}
	pool, managed, err := app.Database(e.ctx, c, c.Logger(e.err))
	var used *db.InUseError
	help := "Give --database-url, or a --data-dir that this user may write."
	if errors.As(err, &used) {
		help = "That is fine if it is your server; stop it to check the database from here."
	}
	say("database", err, help)
	if err != nil {
		d.push(e, c, nil, say)
	} else {
		have, want, err := db.Version(e.ctx, pool)
		usable := pool
		if err == nil && have < want {
			err, usable = fmt.Errorf("version %d, this program needs %d", have, want), nil
		}
		say("schema", err, "`countersign migrate` brings it up to date; so does starting the server.")
		d.push(e, c, usable, say)
		pool.Close()
		if managed != nil {
			say("stopping the managed PostgreSQL", managed.Stop(context.WithoutCancel(e.ctx)), "")
		}
	}
	d.mail(e, c, say)
	if bad {
		return errSilent
	}
	return nil
}

// pushHelp says what to do when a channel's credentials are refused.
var pushHelp = map[string]string{
	fcm.Name:   "The service account needs the role Firebase Cloud Messaging API Admin, and the API must be switched on.",
	relay.Name: "Ask the relay's administrator for a new ticket (countersign relay admit), and give it as push.relay.key_file.",
	apns.Name:  "Look at push.apns: the key may be for another team, topic or environment (push.apns.url).",
}

// push tries the credentials of the push channels that have any.
func (*doctorCmd) push(e *env, c app.Config, pool *pgxpool.Pool, say func(what string, err error, help string)) {
	tried, err := app.CheckPush(e.ctx, c, pool)
	if err != nil {
		say("push", err, "docs/push.md says how each channel is set up.")
		return
	}
	for _, one := range tried {
		say("push by "+one.Channel, one.Err, pushHelp[one.Channel])
	}
	if len(tried) == 0 {
		_, _ = fmt.Fprintln(e.out, "note  push: no Firebase credentials (push.fcm.credentials_file) nor Apple's (push.apns.key_file), nor a relay (push.relay.url): phones that know neither Web Push nor UnifiedPush are not rung; those that can fetch still see what waits.")
	}
	if c.PushContact() == "" {
		_, _ = fmt.Fprintln(e.out, "note  push: no contact (push.webpush.contact, or mail.from), without which Apple's browsers are not rung.")
	}
}

// mail tries the mail server: the connection, its protection, the password.
func (*doctorCmd) mail(e *env, c app.Config, say func(what string, err error, help string)) {
	configured, err := app.CheckMail(e.ctx, c)
	if !configured {
		_, _ = fmt.Fprintln(e.out, "note  mail: no server (mail.host), so users are told of changes to their account by nobody.")
		return
	}
	say("mail", err, "Look at mail.host, mail.port, mail.tls, mail.username and mail.password.")
}

package app

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/mail"
	"countersign/core/secret"
	"countersign/mobile"
	"countersign/push/fcm"
	"countersign/push/relay"
)

// OpenWorker is Open without a listener, for Work and for commands.
func OpenWorker(ctx context.Context, c Config, o Options) (*App, error) {
	o.offline = true
	return Open(ctx, c, o)
}

// Work runs the background jobs until ctx ends.
func (a *App) Work(ctx context.Context) error {
	stop, err := a.startJobs(ctx)
	if err != nil {
		return err
	}
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.HTTP.Grace)
	defer cancel()
	return stop(grace)
}

// NewSetupPath makes a new one-time setup link and gives its path.
func (a *App) NewSetupPath(ctx context.Context) (string, error) {
	token, err := a.services.first.NewLink(ctx)
	if err != nil {
		return "", err
	}
	return "/if/setup/" + token + "/", nil
}

// PushCheck is what trying one push channel came to.
type PushCheck struct {
	Channel string
	Err     error
}

// CheckPush tries the credentials of each push channel of the settings that has any. The channels that need none are not
// among them, nor is the relay without a database, which has the server's key; pool may be nil.
func CheckPush(ctx context.Context, c Config, pool *pgxpool.Pool) ([]PushCheck, error) {
	var keys channelKeys
	if pool != nil && c.Push.Relay.URL != "" {
		given, err := c.givenKeys()
		if err != nil {
			return nil, err
		}
		keeper, err := secret.New(given...)
		if err != nil {
			return nil, err
		}
		if keys.relay, err = mobile.ChannelKey(ctx, pool, keeper, relay.Name); err != nil {
			return nil, err
		}
	}
	all, err := channels(c, keys)
	if err != nil {
		return nil, err
	}
	var out []PushCheck
	for _, channel := range all {
		tried, ok := channel.(interface {
			Check(ctx context.Context) error
		})
		if !ok || channel.Name() == fcm.NameInstallation { // the same credentials as fcm
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		out = append(out, PushCheck{channel.Name(), tried.Check(ctx)})
		cancel()
	}
	return out, nil
}

// CheckMail tries the mail server of the settings; configured is false when there is none.
func CheckMail(ctx context.Context, c Config) (configured bool, err error) {
	m := c.mail()
	if m.Host == "" {
		return false, nil
	}
	sender, err := mail.NewSender(m)
	if err != nil {
		return true, err
	}
	return true, sender.Check(ctx)
}

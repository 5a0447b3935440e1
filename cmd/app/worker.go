package app

import (
	"context"
	"errors"
	"time"

	"countersign/core/mail"
	"countersign/push/fcm"
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

// CheckPush tries the push credentials of the settings; configured is false when there are none.
func CheckPush(ctx context.Context, c Config) (configured bool, err error) {
	all, err := channels(c, nil)
	if err != nil || len(all) == 0 {
		return false, err
	}
	for _, channel := range all {
		if f, ok := channel.(*fcm.Channel); ok {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			err = errors.Join(err, f.Check(ctx))
			cancel()
		}
	}
	return true, err
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

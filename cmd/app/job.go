package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/mail"
	"countersign/core/task"
)

// startJobs begins to work the background jobs; stop ends that.
func (a *App) startJobs(ctx context.Context) (stop func(context.Context) error, err error) {
	runner, err := a.runner(a.pool)
	if err != nil {
		return nil, err
	}
	end := a.services.mobile.StartWebhooks(runner)
	if m := a.services.mail; m != nil {
		m.Start(runner)
		webhooks := end
		end = func() {
			m.Stop()
			webhooks()
		}
	}
	if err := runner.Start(ctx); err != nil {
		end()
		return nil, fmt.Errorf("start background jobs: %w", err)
	}
	return func(ctx context.Context) error {
		defer end()
		return runner.Stop(ctx)
	}, nil
}

// runner is the list of background jobs.
func (a *App) runner(pool *pgxpool.Pool) (*task.Runner, error) {
	s := a.services
	o := task.Options{Log: a.log, OneOffs: []task.OneOff{s.mobile.WebhookJob()}}
	if s.mail != nil {
		o.OneOffs = append(o.OneOffs, s.mail.Job())
	}
	var r *task.Runner
	r, err := task.New(pool, []task.Periodic{
		{Name: "collect_sessions", Every: 5 * time.Minute, Run: func(ctx context.Context) error {
			_, err := s.sessions.Clean(ctx)
			return err
		}},
		{Name: "collect_tokens", Every: 5 * time.Minute, Run: func(ctx context.Context) error {
			_, _, err := s.tokens.Clean(ctx)
			return err
		}},
		{Name: "refresh_authenticator_metadata", Every: 24 * time.Hour, Run: s.webauthn.Refresh},
		{Name: "refresh_revoked_phones", Every: time.Hour, Run: s.mobile.RefreshRevoked},
		{Name: "collect_phones", Every: 5 * time.Minute, Run: s.mobile.CleanUp},
		{Name: "collect_webhooks", Every: time.Minute, Run: func(ctx context.Context) error { return s.mobile.RelayWebhooks(ctx, r) }},
		{Name: "collect_text_messages", Every: time.Hour, Run: s.sms.CleanUp},
		{Name: "collect_duo", Every: time.Hour, Run: s.duo.CleanUp},
		{Name: "collect_plans", Every: time.Hour, Run: s.engine.CleanUp},
		{Name: "collect_events", Every: time.Hour, Run: func(ctx context.Context) error {
			_, err := s.audit.Clean(ctx)
			return err
		}},
		{Name: "collect_mails", Every: time.Minute, Run: func(ctx context.Context) error {
			if s.mail == nil {
				return mail.Discard(ctx, pool)
			}
			return s.mail.Tidy(ctx)
		}},
	}, o)
	if err != nil {
		return nil, fmt.Errorf("prepare background jobs: %w", err)
	}
	return r, nil
}

package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/task"
)

// jobs makes the runner of the background jobs; nil when they run elsewhere.
func (a *App) jobs() (*task.Runner, error) {
	if !a.config.Worker {
		return nil, nil
	}
	return a.runner(a.pool)
}

// runner is the list of background jobs.
func (a *App) runner(pool *pgxpool.Pool) (*task.Runner, error) {
	s := a.services
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
		{Name: "collect_phones", Every: 5 * time.Minute, Run: s.mobile.CleanUp},
		{Name: "collect_text_messages", Every: time.Hour, Run: s.sms.CleanUp},
		{Name: "collect_duo", Every: time.Hour, Run: s.duo.CleanUp},
		{Name: "collect_plans", Every: time.Hour, Run: s.engine.CleanUp},
		{Name: "collect_events", Every: time.Hour, Run: func(ctx context.Context) error {
			_, err := s.audit.Clean(ctx)
			return err
		}},
	}, task.Options{Log: a.log})
	if err != nil {
		return nil, fmt.Errorf("prepare background jobs: %w", err)
	}
	return r, nil
}

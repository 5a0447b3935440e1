package task

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
)

// Inserter inserts background jobs; a Runner does.
type Inserter interface {
	InsertTx(ctx context.Context, tx pgx.Tx, jobs ...Insert) error
}

// Relay calls hand, which makes jobs of what is in an outbox, now and whenever PostgreSQL notifies on channel, until stop. A
// round that fails is not repeated: a periodic job calls hand as well. Start it before the jobs are worked.
func Relay(pool *pgxpool.Pool, log *slog.Logger, channel string, hand func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	wake := make(chan struct{}, 1)
	rouse := func() {
		select {
		case wake <- struct{}{}:
		default: // a round is due already, and finds it
		}
	}
	hub := db.NewHub(pool, db.HubOptions{Log: log, OnLoss: rouse})
	hub.Listen(channel, func(string) { rouse() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		// What came before the listening began is found by the first round, so that nothing falls between the two.
		if hub.Wait(ctx) != nil {
			return // stopped
		}
		rouse()
		for {
			select {
			case <-ctx.Done():
				return
			case <-wake:
			}
			if err := hand(ctx); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "something waits in an outbox", "outbox", channel, "error", err)
			}
		}
	}()
	return func() {
		hub.Close()
		cancel()
		<-done
	}
}

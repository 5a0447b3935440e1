package duo

import (
	"context"
	"fmt"
	"time"

	"countersign/core/db"
)

// Budget bounds how often a device rings for logins that it does not approve. An address from which the person has
// approved a push has a count of its own, all others share one.
type Budget struct {
	Pushes int // that were not approved, within Window
	Window time.Duration
}

// DefaultBudget lets a device ring five times in ten minutes.
func DefaultBudget() Budget { return Budget{Pushes: 5, Window: 10 * time.Minute} }

// wait tells how long a device is not to ring for a login from source; 0 is now.
func (b Budget) wait(ctx context.Context, q db.Querier, device int, source string, now time.Time) (time.Duration, error) {
	var n int
	var oldest *time.Time
	err := q.QueryRow(ctx, `WITH own AS (SELECT DISTINCT source FROM duo_pushes WHERE device = $1 AND result = 'allow' AND source <> ''),
			these AS (
				SELECT created FROM duo_pushes WHERE device = $1 AND result <> 'allow' AND created > $3
					AND CASE WHEN $2 IN (SELECT source FROM own) THEN source = $2 ELSE source NOT IN (SELECT source FROM own) END
				ORDER BY created DESC LIMIT $4)
		SELECT count(*), min(created) FROM these`, device, source, now.Add(-b.Window), b.Pushes).Scan(&n, &oldest)
	if err != nil {
		return 0, fmt.Errorf("read history of pushes: %w", db.Fault(err))
	}
	if n < b.Pushes || oldest == nil {
		return 0, nil
	}
	return max(0, oldest.Add(b.Window).Sub(now)), nil
}

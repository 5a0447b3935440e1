package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
)

// Coordinate is one point of a diagram.
type Coordinate struct {
	X int64 `json:"x_cord" api:"ro"` // milliseconds since 1970
	Y int   `json:"y_cord" api:"ro"` // events
}

// Week is the span of all diagrams but per_month's, WeekSteps their steps: eight hours each (core.md §6.1).
const (
	Week      = 7 * 24 * time.Hour
	WeekSteps = 21
)

// Series counts the events (t) that where holds for, in equal steps over the span that ends at now. It gives steps+1
// points, newest first. Each point counts the step that ends at it; the first lies one step in the future and is 0
// (ring.md §5.2).
func Series(ctx context.Context, q db.Querier, where db.Pred, now time.Time, span time.Duration, steps int) ([]Coordinate, error) {
	step := span / time.Duration(steps)
	points := make([]Coordinate, steps+1)
	for i := range points {
		points[i].X = now.Add(step - time.Duration(i)*step).UnixMilli()
	}
	args := append([]any{now, now.Add(-span), step.Seconds()}, where.Args...)
	rows, err := q.Query(ctx, `SELECT floor(extract(epoch FROM $1::timestamptz - t.created) / $3::float8)::int, count(*)
		FROM events t WHERE t.created <= $1 AND t.created > $2::timestamptz AND (`+where.At(4)+`) GROUP BY 1`, args...)
	if err != nil {
		return nil, fmt.Errorf("count events: %w", db.Fault(err))
	}
	var age, count int
	_, err = pgx.ForEachRow(rows, []any{&age, &count}, func() error {
		if i := age + 1; i < len(points) {
			points[i].Y = count
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count events: %w", db.Fault(err))
	}
	return points, nil
}

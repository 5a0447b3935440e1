package authenticators

import (
	"context"
	"fmt"

	"countersign/core/db"
	"countersign/flows"
)

// MaxDevices is how many devices of one kind a user may have: more than a person keeps, and few enough to show and to ask
// for in one page.
const MaxDevices = 50

// TooMany is what the person is told who has them.
var TooMany = fmt.Sprintf("You have %d of these already. Remove one from your account first.", MaxDevices)

// Full tells whether a user may set up no more devices of the kind that keeps them in table, an SQL identifier of its own.
// Two set-ups at once may both pass at the last place.
func Full(ctx context.Context, run *flows.Run, table string, user int) (bool, error) {
	var n int
	if err := run.DB().QueryRow(ctx, `SELECT count(*) FROM `+table+` WHERE user_id = $1 AND confirmed`, user).Scan(&n); err != nil {
		return false, fmt.Errorf("count devices: %w", db.Fault(err))
	}
	return n >= MaxDevices, nil
}

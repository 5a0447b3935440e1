package authenticators

import (
	"context"

	"countersign/core/user"
	"countersign/flows"
)

// Owner is whom a flow sets a device up for, or asks for one; nil for nobody, and for a pretended user.
func Owner(ctx context.Context, run *flows.Run) (*user.User, error) {
	u, err := run.PendingUser(ctx)
	if err != nil || u == nil || u.ID == 0 {
		return nil, err
	}
	return u, nil
}

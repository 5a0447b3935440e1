package bench

import (
	"context"
	"strconv"

	"countersign/push"
)

// channel is a push provider in the process that accepts at once and hands the data to the phone.
type channel struct{ people []*person }

func (c *channel) Name() string { return "bench" }

func (c *channel) Send(_ context.Context, m push.Message) error {
	i, err := strconv.Atoi(m.Address)
	if err != nil || i >= len(c.people) {
		return &push.Error{Reason: push.InvalidAddress, Permanent: true}
	}
	select {
	case c.people[i].pushed <- m.Data:
	default: // the phone has one that it did not look at
	}
	return nil
}

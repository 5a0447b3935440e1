package fault

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"countersign/simulator/clock"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
	"countersign/simulator/scenario"
)

// delivery names the way from the push service to the phone.
const delivery = "delivery"

// held is how many messages may be under way to a phone.
const held = 100

// Source is a phone.Source whose messages meet the faults of the hop "delivery".
type Source struct {
	phone.Source
	board *Board
	clock clock.Clock
	dice  *dice
}

// NewSource makes the source of one phone; rng is its own.
func NewSource(b *Board, inner phone.Source, c clock.Clock, rng *rand.Rand) *Source {
	return &Source{Source: inner, board: b, clock: c, dice: newDice(rng)}
}

// Subscribe is the inner source's, with the faults between.
func (s *Source) Subscribe(ctx context.Context, address string) (<-chan fcm.Message, error) {
	in, err := s.Source.Subscribe(ctx, address)
	if err != nil {
		return nil, err
	}
	out := make(chan fcm.Message, held)
	go s.carry(ctx, in, out)
	return out, nil
}

func (s *Source) carry(ctx context.Context, in <-chan fcm.Message, out chan<- fcm.Message) {
	var late sync.WaitGroup
	defer close(out)
	defer late.Wait()
	var waiting chan struct{} // of a message that lets itself be overtaken
	var last struct {         // the message before, so that what is due together comes in order
		due  time.Time
		done chan struct{}
	}
	for m := range in {
		passes := waiting
		waiting = nil
		copies, wait, yields := s.meet()
		if wait == 0 && !yields {
			for range copies {
				hand(ctx, out, m)
			}
		} else {
			if yields {
				waiting = make(chan struct{})
			}
			yieldTo := waiting
			var before chan struct{}
			due := s.clock.Now().Add(wait)
			if last.done != nil && !due.Before(last.due) {
				before = last.done
			}
			done := make(chan struct{})
			if last.due, last.done = due, done; yields {
				last.done = nil
			}
			late.Go(func() {
				defer close(done)
				if pause(ctx, s.clock, wait) != nil {
					return
				}
				if before != nil {
					<-before // it ends with ctx, too
				}
				if yieldTo != nil {
					s.yield(ctx, yieldTo)
				}
				for range copies {
					hand(ctx, out, m)
				}
			})
		}
		if passes != nil {
			close(passes)
		}
	}
}

// meet draws what happens to one message.
func (s *Source) meet() (copies int, wait time.Duration, yields bool) {
	copies = 1
	for _, f := range s.board.On(delivery) {
		if f.Toxicity < 1 && !s.dice.luck(f.Toxicity) {
			continue
		}
		wait += s.dice.latency(f)
		yields = yields || s.dice.luck(f.Reorder)
		if s.dice.luck(f.Duplicate) {
			copies++
		}
		if s.dice.luck(f.Lose) {
			copies = 0
		}
	}
	return copies, wait, yields
}

func (s *Source) yield(ctx context.Context, passed <-chan struct{}) {
	over, stop := s.clock.After(overtakeLimit)
	defer stop()
	select {
	case <-passed:
	case <-over:
	case <-ctx.Done():
	}
}

func hand(ctx context.Context, out chan<- fcm.Message, m fcm.Message) {
	select {
	case out <- m:
	case <-ctx.Done():
	}
}

// Conditions are what the push service itself meets, by the faults of the hop "push" that are on.
func Conditions(on []scenario.Fault) fcm.Conditions {
	var c fcm.Conditions
	for _, f := range on {
		c.Latency += fcm.Duration(f.Latency)
		c.Jitter += fcm.Duration(f.Jitter)
		c.LossRate = max(c.LossRate, f.Lose)
		switch {
		case f.Error != "" && f.Toxicity >= 1:
			c.Outages = append(c.Outages, fcm.Outage{Error: fcm.Code(f.Error), RetryAfter: fcm.Duration(f.RetryAfter)})
		case f.Error != "":
			c.ErrorRate, c.Errors = max(c.ErrorRate, f.Toxicity), append(c.Errors, fcm.Code(f.Error))
		}
		if f.Quota > 0 {
			c.Quota = &fcm.Quota{Messages: f.Quota, Per: fcm.Duration(f.Per)}
		}
	}
	return c
}

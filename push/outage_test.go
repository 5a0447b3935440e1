package push_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/push"
)

// T4, G13: for half a minute the provider hangs, for another it refuses. Nobody who dispatches waits for it, no push is sent when its
// window is over, and what still has time gets through.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const (
			outage = time.Minute
			window = 20 * time.Second
			every  = 50 * time.Millisecond
		)
		b := setup(t, push.Options{Workers: 8, Rand: func() float64 { return .5 }})
		var mu sync.Mutex
		var late []string
		sends, accepted := 0, map[string]bool{}
		deadlines := map[string]time.Time{}
		b.channel.Otherwise(func(ctx context.Context, m push.Message) error {
			mu.Lock()
			defer mu.Unlock()
			id := m.Data["id"]
			now, end := time.Now(), deadlines[id]
			sends++
			if !now.Before(end) || m.TTL > end.Sub(now) {
				late = append(late, fmt.Sprintf("%s at %s, %s after its end, for %s", id, now.Sub(b.start), now.Sub(end), m.TTL))
			}
			switch since := now.Sub(b.start); {
			case since < outage/2:
				mu.Unlock()
				<-ctx.Done()
				mu.Lock()
				return ctx.Err()
			case since < outage:
				return &push.Error{Reason: push.Unavailable}
			}
			accepted[id] = true
			return nil
		})
		final := map[string]int{}
		for i := range int((outage + 10*time.Second) / every) {
			j := b.job(fmt.Sprint(i))
			j.Deadline, j.Message.Data = time.Now().Add(window), map[string]string{"id": j.ID}
			j.Report = func(r push.Report) {
				mu.Lock()
				defer mu.Unlock()
				if r.Final {
					final[r.ID]++
				}
			}
			mu.Lock()
			deadlines[j.ID] = j.Deadline
			mu.Unlock()
			began := time.Now()
			b.Dispatch(j)
			if took := time.Since(began); took > 0 {
				t.Fatalf("whoever dispatches waits for %s", took)
			}
			pass(every)
		}
		pass(2 * window)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(late) > 0 {
			t.Errorf("%d of %d sends came late: %s …", len(late), sends, late[0])
		}
		for id, end := range deadlines {
			if final[id] != 1 {
				t.Errorf("job %s ended %d times", id, final[id])
			}
			had := end.Sub(b.start.Add(outage)) // after the outage
			if accepted[id] && had <= 0 || !accepted[id] && had >= window {
				t.Errorf("job %s, which had %s after the outage, is accepted: %t", id, had, accepted[id])
			}
		}
	})
}

package push_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"countersign/push"
)

type idle struct{}

func (idle) Name() string                             { return "idle" }
func (idle) Send(context.Context, push.Message) error { return nil }

// BenchmarkDispatch is the cost of one message beside its provider's: from Dispatch to the final report.
func BenchmarkDispatch(b *testing.B) {
	for _, senders := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(senders), func(b *testing.B) {
			d, err := push.New([]push.Channel{idle{}}, push.Options{Queue: b.N + 1})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var reported sync.WaitGroup
			reported.Add(b.N)
			b.SetParallelism(senders)
			b.RunParallel(func(pb *testing.PB) {
				deadline := time.Now().Add(time.Hour)
				for pb.Next() {
					d.Dispatch(push.Job{
						Channel: "idle", Deadline: deadline, Message: push.Message{Address: "a"},
						Report: func(r push.Report) {
							if r.State != push.Accepted {
								b.Error(r)
							}
							reported.Done()
						},
					})
				}
			})
			reported.Wait()
			if err := d.Stop(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

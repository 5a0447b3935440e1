package clock_test

import (
	"testing"
	"time"

	"countersign/simulator/clock"
)

func TestVirtual(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	v := clock.NewVirtual(start)
	early, _ := v.After(time.Second)
	late, _ := v.After(time.Minute)
	given, giveUp := v.After(time.Second)
	giveUp()
	now, _ := v.After(0)
	<-now
	v.Await(2)
	v.Advance(time.Second)
	if at := <-early; !at.Equal(start.Add(time.Second)) || !v.Now().Equal(at) {
		t.Errorf("fired at %s", at)
	}
	select {
	case <-late:
		t.Error("fired 59 s early")
	case <-given:
		t.Error("a timer given up fired")
	default:
	}
	v.Advance(time.Hour)
	<-late
}

func TestAwaitSeesATimerAddedLater(t *testing.T) {
	t.Parallel()
	v := clock.NewVirtual(time.Time{})
	fired := make(chan struct{})
	go func() {
		c, stop := v.After(time.Second)
		defer stop()
		<-c
		close(fired)
	}()
	v.Await(1)
	v.Advance(time.Second)
	<-fired
}

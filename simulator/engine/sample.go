package engine

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"

	"countersign/simulator/event"
)

const (
	sampleEvery = time.Second
	clockTicks  = 100 // of /proc, a second: USER_HZ, on every Linux
)

// samples emits the gauges once a second, until ctx ends. Under a virtual clock there is nothing to be measured.
func (r *run) samples(ctx context.Context) {
	if r.virtual() {
		return
	}
	r.beside.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		before, server, at := ownCPU(), r.serverCPU(), time.Now()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			now, own, theirs := time.Now(), ownCPU(), r.serverCPU()
			passed := now.Sub(at).Seconds()
			values := map[string]float64{
				event.GaugeFlying: float64(r.flying.Load()), event.GaugeRinging: float64(r.asked.value()),
				event.GaugeLag: float64(r.lag.Swap(0)) / 1e6, event.GaugeCPU: (own - before).Seconds() / passed,
				event.GaugeMemory: mebibytes(os.Getpid()), event.GaugeGoroutines: float64(runtime.NumGoroutine()),
			}
			if w := r.target.world; w != nil {
				values[event.GaugeServerCPU] = max(0, (theirs-server).Seconds()/passed)
				for _, pid := range w.PIDs() {
					values[event.GaugeServerRSS] += mebibytes(pid)
				}
			}
			if r.s.Soak > 0 {
				values[event.GaugeHeap] = liveHeap()
				for name, v := range r.serverGauges(ctx) {
					values[name] = v
				}
				r.growth.take(values)
			}
			before, server, at = own, theirs, now
			r.take(event.Event{At: r.at(now), Kind: event.Sample, Values: values})
		}
	})
}

// liveHeap is what the last collection left, in MiB.
func liveHeap() float64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64()) / (1 << 20)
}

// ownCPU is the processor time that this process used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serverCPU is the processor time of the nodes that are up; 0 where the system does not tell.
func (r *run) serverCPU() time.Duration {
	var ticks int64
	if r.target.world == nil {
		return 0
	}
	for _, pid := range r.target.world.PIDs() {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			continue
		}
		// The name in brackets may hold spaces; fields 14 and 15 are counted from behind it.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		for _, at := range []int{11, 12} {
			if n, err := strconv.ParseInt(string(fields[at]), 10, 64); err == nil {
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * time.Second / clockTicks
}

// mebibytes is the resident memory of a process; 0 where the system does not tell.
func mebibytes(pid int) float64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseFloat(string(fields[1]), 64)
	if err != nil {
		return 0
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

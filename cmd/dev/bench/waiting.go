package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"
)

// Waiting is what logins that wait for a phone cost the server in memory, each with a real connection. The browsers are
// another process. What the kernel keeps for a connection is not in it; RSS has also what the allocator holds between objects.
type Waiting struct {
	Logins       int     `json:"logins"`
	BytesPer     float64 `json:"bytes_per_login"` // heap and stacks
	HeapPer      float64 `json:"heap_bytes_per_login"`
	StackPer     float64 `json:"stack_bytes_per_login"`
	RSSPer       float64 `json:"rss_bytes_per_login"`
	PostgresHeld int     `json:"database_connections_in_use"`
	Seconds      float64 `json:"seconds_to_get_there"`
}

// holdOrder is what the browsers' process is told.
type holdOrder struct {
	Addr   string
	Logins []holdLogin
}

type holdLogin struct{ Browser, Ask string }

// waiting has n logins wait.
func (w *world) waiting(ctx context.Context, n int) (_ *Waiting, err error) {
	if err := w.renew(ctx); err != nil {
		return nil, err
	}
	order := holdOrder{Addr: w.addr}
	for range n {
		p := w.login()
		order.Logins = append(order.Logins, holdLogin{p.browser, string(p.ask)})
	}
	order.Logins = append([]holdLogin(nil), order.Logins...)
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	order = holdOrder{}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	before := memory()
	began := time.Now()
	cmd := exec.CommandContext(ctx, self, "bench", "hold")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = in.Close() // the browsers go away
		err = errors.Join(err, cmd.Wait())
		err = errors.Join(err, w.until(ctx, 0))
	}()
	if _, err := in.Write(append(text, '\n')); err != nil {
		return nil, err
	}
	text = nil
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the browsers did not get there: %w", err)
	}
	if err := w.until(ctx, int64(n)); err != nil {
		return nil, err
	}
	took := time.Since(began)
	for _, p := range w.people { // what the phones were sent is theirs
		select {
		case <-p.pushed:
		default:
		}
	}
	after := memory()
	per := func(a, b uint64) float64 { return (float64(a) - float64(b)) / float64(n) }
	return &Waiting{
		Logins: n, HeapPer: per(after.heap, before.heap), StackPer: per(after.stack, before.stack),
		BytesPer: per(after.heap+after.stack, before.heap+before.stack), RSSPer: per(after.rss, before.rss),
		PostgresHeld: int(w.app.Pool().Stat().AcquiredConns()), Seconds: took.Seconds(),
	}, nil
}

// until waits for so many logins to wait.
func (w *world) until(ctx context.Context, n int64) error {
	deadline := time.Now().Add(patience)
	for w.app.Waiting() != n {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d logins wait instead of %d", w.app.Waiting(), n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

type footprint struct{ heap, stack, rss uint64 }

// memory is what is in use after everything that can be freed was.
func memory() footprint {
	for range 3 { // a sync.Pool lets go at the second
		runtime.GC()
	}
	debug.FreeOSMemory()
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return footprint{heap: s[0].Value.Uint64(), stack: s[1].Value.Uint64(), rss: rss(os.Getpid())}
}

// rss is the resident memory of a process, 0 where there is no /proc.
func rss(pid int) uint64 {
	raw, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[1], 10, 64)
	return n * uint64(os.Getpagesize())
}

// Hold is the browsers' process: it reads an order from its standard input, has every login wait, says so, and ends with
// its input.
type Hold struct{}

// Run holds.
func (*Hold) Run(ctx context.Context, k *kong.Context) error {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var order holdOrder
	if err := json.Unmarshal(line, &order); err != nil {
		return err
	}
	var mu sync.Mutex
	var held []*conn
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for _, l := range order.Logins {
		g.Go(func() error {
			c, err := dial(order.Addr)
			if err != nil {
				return err
			}
			mu.Lock()
			held = append(held, c)
			mu.Unlock()
			return c.send("POST", executor, l.Browser, []byte(l.Ask))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(k.Stdout, "held")
	_, _ = io.Copy(io.Discard, in)
	for _, c := range held {
		c.close()
	}
	return nil
}

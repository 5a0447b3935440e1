package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"countersign/cmd/app"
	"countersign/core/db"
	"countersign/core/secret"
	"countersign/mobile/wire"
)

// Phones measures phones that are held: bytes for each, how soon one hears, and what the idle ones cost.
type Phones struct {
	Count  int           `default:"50000" help:"Phones. The process may open few more files than that: see ulimit -n."`
	Mode   []string      `default:"socket,poll" enum:"socket,poll" help:"How they are held."`
	Memory bool          `help:"Connect them in memory, where a process may open too few files. Their own half of each connection then counts as well, on both sides of the ratio."`
	Wakes  int           `default:"1000" help:"Prompts that are opened, 100 a second."`
	Idle   time.Duration `default:"20s" help:"How long the idle processor time is measured. Polls are renewed every 50 s."`
	JSON   bool          `help:"Print one JSON object for each mode."`
	Dir    string        `type:"path" placeholder:"DIR" help:"Directory for the database; a temporary one is made in it."`
}

// Held is what phones that are held cost. The raw figures are of an HTTP server of the standard library that holds as many
// requests and does nothing else.
type Held struct {
	Mode     string  `json:"mode"`
	Phones   int     `json:"phones"`
	Bytes    float64 `json:"bytes_per_phone"` // heap and stacks
	RSS      float64 `json:"rss_bytes_per_phone"`
	Raw      float64 `json:"raw_bytes_per_request"`
	Ratio    float64 `json:"ratio_to_raw"`
	WakeP50  float64 `json:"wake_p50_ms"` // from the prompt's commit to the phone's having read it
	WakeP99  float64 `json:"wake_p99_ms"`
	Lost     int     `json:"wakes_lost"`
	IdleCPU  float64 `json:"idle_cpu_percent"` // of one processor, server alone
	Database float64 `json:"idle_database_cpu_percent"`
}

// spareFiles is how many files a server has open beside its phones.
const spareFiles = 200

// Run measures and prints.
func (p *Phones) Run(ctx context.Context, k *kong.Context) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if most := int(min(limit.Max, 1<<30)) - spareFiles; p.Count > most && !p.Memory {
		return fmt.Errorf("--count: %d phones at most, as a process may open %d files here; raise the hard limit (ulimit -Hn) for more, or hold them in --memory", most, limit.Max)
	}
	for _, mode := range p.Mode {
		h, err := p.measure(ctx, mode)
		if err != nil {
			return fmt.Errorf("%s: %w", mode, err)
		}
		if p.JSON {
			err = json.NewEncoder(k.Stdout).Encode(h)
		} else {
			_, err = fmt.Fprintf(k.Stdout, "%-6s  %d phones   %.0f bytes a phone (%.2f of a raw long poll, %.0f)   RSS %.0f\n"+
				"        wake-up p50 %.1f ms, p99 %.1f ms, %d lost   idle: server %.1f %%, database %.1f %% of a processor\n",
				h.Mode, h.Phones, h.Bytes, h.Ratio, h.Raw, h.RSS, h.WakeP50, h.WakeP99, h.Lost, h.IdleCPU, h.Database)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// phonesOrder is what the phones' process is told.
type phonesOrder struct {
	Addr   string
	Mode   string
	Phones []heldPhone

	memory *memoryNet // they are held in this process
}

type heldPhone struct{ Device, Token string }

func (p *Phones) measure(ctx context.Context, mode string) (_ *Held, err error) {
	order, o := phonesOrder{Mode: mode}, app.Options{}
	if p.Memory {
		order.memory = newMemoryNet()
		o.Listener = order.memory
	}
	s, err := newScratch(ctx, p.Dir, o, func(*app.Config) {})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	server := s.server
	order.Addr = server.Addr().String()
	if order.Phones, err = enlist(ctx, server.Pool(), p.Count); err != nil {
		return nil, err
	}
	h := &Held{Mode: mode, Phones: p.Count}
	before := memory()
	crowd, err := muster(ctx, order)
	if err != nil {
		return nil, err
	}
	if err := allHeld(ctx, order, p.Count); err != nil {
		return nil, errors.Join(err, crowd.dismiss())
	}
	after := memory()
	h.Bytes, h.RSS = each(after.heap+after.stack, before.heap+before.stack, p.Count), each(after.rss, before.rss, p.Count)
	w := &world{pg: s.pg}
	used, began := w.usage(), time.Now()
	select {
	case <-time.After(p.Idle):
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), crowd.dismiss())
	}
	used = w.usage().minus(used)
	took := time.Since(began)
	h.IdleCPU, h.Database = 100*used.self.Seconds()/took.Seconds(), 100*used.postgres.Seconds()/took.Seconds()
	if err := p.wake(ctx, server, order, crowd, h); err != nil {
		return nil, errors.Join(err, crowd.dismiss())
	}
	if err := crowd.dismiss(); err != nil {
		return nil, err
	}
	h.Raw, err = rawHeld(ctx, p.Count, p.Memory)
	h.Ratio = h.Bytes / h.Raw
	return h, err
}

// allHeld waits until the server holds so many phones, by its own word.
func allHeld(ctx context.Context, order phonesOrder, n int) error {
	client := &http.Client{Transport: &http.Transport{DialContext: order.dialer(0)}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	want := fmt.Sprintf("\ncountersign_mobile_phones_held %v\n", float64(n))
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+order.Addr+"/-/metrics/", nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("wait for the phones: %w", err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || strings.Contains(string(text), want) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func each(after, before uint64, n int) float64 {
	return (float64(after) - float64(before)) / float64(n)
}

// enlist makes phones, a user each.
func enlist(ctx context.Context, pool *pgxpool.Pool, n int) ([]heldPhone, error) {
	phones := make([]heldPhone, n)
	ids, hashes, names := make([]uuid.UUID, n), make([][]byte, n), make([]string, n)
	for i := range phones {
		token := secret.Token(40)
		ids[i], hashes[i], names[i] = uuid.New(), secret.Hash(token), fmt.Sprintf("phone-%05d", i)
		phones[i] = heldPhone{ids[i].String(), token}
	}
	_, err := pool.Exec(ctx, `WITH n AS (SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[]) AS n (device, hash, name)),
		u AS (INSERT INTO users (uuid, username) SELECT gen_random_uuid(), name FROM n RETURNING id, username),
		d AS (INSERT INTO mobile_devices (uuid, user_id, name, confirmed, device_uid) SELECT n.device, u.id, 'Phone', true, n.name FROM n JOIN u ON u.username = n.name RETURNING uuid)
		INSERT INTO mobile_tokens (token_hash, device, purpose) SELECT n.hash, n.device, 'device' FROM n JOIN d ON d.uuid = n.device`, ids, hashes, names)
	return phones, db.Fault(err)
}

// wake opens prompts and takes the time until their phones have them.
func (p *Phones) wake(ctx context.Context, server *app.App, order phonesOrder, crowd *crowdProcess, h *Held) error {
	channel := "countersign_bus_" + strings.ReplaceAll(server.Node().String(), "-", "")
	opened := map[int]time.Time{}
	n := min(p.Wakes, p.Count)
	for i := range n {
		at := i * (p.Count / n)
		now := time.Now()
		device := order.Phones[at].Device
		_, err := server.Pool().Exec(ctx, `WITH x AS (INSERT INTO mobile_transactions (tx_id, device, user_id, mode, items, correct, context, node, created, expires)
			SELECT gen_random_uuid(), uuid, user_id, 'number_matching_2', '{11,22,33}', '22', '{}', $2, $3, $4 FROM mobile_devices WHERE uuid = $1)
			SELECT pg_notify($5, $6)`, device, server.Node(), now, now.Add(10*time.Minute), channel, `["mobile","`+device+`"]`)
		if err != nil {
			return err
		}
		opened[at] = time.Now()
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	deadline := time.After(10 * time.Second)
	var took []time.Duration
	for len(took) < n {
		select {
		case r := <-crowd.heard:
			if at, ok := opened[r.phone]; ok {
				took = append(took, max(r.at.Sub(at), 0))
				delete(opened, r.phone)
			}
			continue
		case <-deadline:
		}
		break
	}
	slices.Sort(took)
	h.Lost, h.WakeP50, h.WakeP99 = n-len(took), milliseconds(quantile(took, .5)), milliseconds(quantile(took, .99))
	return nil
}

// crowdProcess is the phones' process, or, in memory, this one's phones.
type crowdProcess struct {
	cmd   *exec.Cmd
	in    io.Closer
	leave context.CancelFunc
	heard chan hearing
}

type hearing struct {
	phone int
	at    time.Time
}

// muster starts the phones and returns when all are held.
func muster(ctx context.Context, order phonesOrder) (*crowdProcess, error) {
	if order.memory != nil {
		ctx, leave := context.WithCancel(ctx)
		c := &crowdProcess{leave: leave, heard: make(chan hearing, 1<<16)}
		return c, hold(ctx, order, func(phone int) { c.heard <- hearing{phone, time.Now()} })
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	c := &crowdProcess{cmd: exec.CommandContext(ctx, self, "bench", "hold-phones"), heard: make(chan hearing, 1<<16)}
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.in = in
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := in.Write(append(text, '\n')); err != nil {
		return nil, errors.Join(err, c.dismiss())
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "held" {
		return nil, errors.Join(errors.New("the phones did not get there"), c.dismiss())
	}
	go func() {
		for lines.Scan() {
			phone, at, _ := strings.Cut(lines.Text(), " ")
			n, _ := strconv.Atoi(phone)
			nanos, _ := strconv.ParseInt(at, 10, 64)
			c.heard <- hearing{n, time.Unix(0, nanos)}
		}
	}()
	return c, nil
}

func (c *crowdProcess) dismiss() error {
	if c.leave != nil {
		c.leave()
		return nil
	}
	return errors.Join(c.in.Close(), c.cmd.Wait())
}

// HoldPhones is the phones' process: it reads an order from its standard input, has every phone held, says so, then which
// phone was given a prompt and when, and ends with its input.
type HoldPhones struct{}

// Run holds.
func (*HoldPhones) Run(ctx context.Context, k *kong.Context) error {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var order phonesOrder
	if err := json.Unmarshal(line, &order); err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	var mu sync.Mutex
	tell := func(phone int) {
		at := time.Now().UnixNano()
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintln(k.Stdout, phone, at)
	}
	if err := hold(ctx, order, tell); err != nil {
		return err
	}
	mu.Lock()
	_, _ = fmt.Fprintln(k.Stdout, "held")
	mu.Unlock()
	_, _ = io.Copy(io.Discard, in)
	return nil
}

type dialContext = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer is how phone i connects.
func (o phonesOrder) dialer(i int) dialContext {
	if o.memory != nil {
		return o.memory.dial
	}
	// A source address has some 28,000 ports.
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/20_000))}}).DialContext
}

// hold has every phone of the order held, until ctx ends, and returns when all are; tell is told which was given a prompt.
func hold(ctx context.Context, order phonesOrder, tell func(phone int)) error {
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i, p := range order.Phones {
		g.Go(func() error {
			dial := order.dialer(i)
			switch order.Mode {
			case "socket":
				return listenOn(ctx, dial, order.Addr, p, func() { tell(i) })
			case "poll":
				return pollOn(ctx, dial, order.Addr, p, func() { tell(i) })
			}
			tcp, err := dial(ctx, "tcp", order.Addr)
			if err == nil {
				_, err = io.WriteString(tcp, "GET / HTTP/1.1\r\nHost: id.example\r\n\r\n")
				context.AfterFunc(ctx, func() { _ = tcp.Close() })
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // for the second looks of the server
	return nil
}

// listenOn holds a phone on a socket; it returns when the first message is there.
func listenOn(ctx context.Context, dial dialContext, addr string, p heldPhone, tell func()) error {
	dialer := websocket.Dialer{NetDialContext: dial, ReadBufferSize: 512, WriteBufferSize: 512}
	conn, res, err := dialer.DialContext(ctx, "ws://"+addr+"/"+wire.Path(p.Device, wire.ActionSocket), http.Header{"Authorization": {"Bearer " + p.Token}})
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if _, _, err := conn.ReadMessage(); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	go func() {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
			tell()
		}
	}()
	return nil
}

// pollOn holds a phone on a long poll, again and again.
func pollOn(ctx context.Context, dial dialContext, addr string, p heldPhone, tell func()) error {
	tcp, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = tcp.Close() })
	c := &conn{tcp: tcp, in: bufio.NewReaderSize(tcp, 512), patience: 3 * time.Minute}
	ask := func(known string) error {
		return c.send(http.MethodGet, "/"+wire.Path(p.Device, wire.ActionPending)+"?wait=50"+known, "Authorization: Bearer "+p.Token+"\r\n", nil)
	}
	if err := ask(""); err != nil {
		return err
	}
	go func() {
		known := ""
		for {
			status, body, err := c.receive(nil)
			if err != nil || status != http.StatusOK {
				return // it shows as lost
			}
			var pending wire.Pending
			if known == "" && json.Unmarshal(body, &pending) == nil && len(pending.Pending) > 0 {
				tell()
				known = "&known=" + pending.Pending[0].TxID
			}
			if ask(known) != nil {
				return
			}
		}
	}()
	return nil
}

// rawHeld is what a request costs a server of the standard library that holds it, in bytes of heap and stacks.
func rawHeld(ctx context.Context, n int, inMemory bool) (_ float64, err error) {
	order := phonesOrder{Mode: "raw", Phones: make([]heldPhone, n)}
	var l net.Listener
	if inMemory {
		order.memory = newMemoryNet()
		l = order.memory
	} else if l, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return 0, err
	}
	order.Addr = l.Addr().String()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
	go func() { _ = server.Serve(l) }()
	defer func() { err = errors.Join(err, server.Close()) }()
	before := memory()
	crowd, err := muster(ctx, order)
	if err != nil {
		return 0, err
	}
	after := memory()
	return each(after.heap+after.stack, before.heap+before.stack, n), crowd.dismiss()
}

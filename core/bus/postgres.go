package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
)

const (
	maxPayload = 7900 // bytes of one notification; PostgreSQL refuses 8000
	maxBatch   = 1000 // messages of one statement
)

// Options are the settings of a Postgres bus. The zero value is good.
type Options struct {
	Log   *slog.Logger
	Queue int // messages that may wait to be sent; more are dropped; 0 is 8192
}

// Stats counts messages since the start.
type Stats struct {
	Sent     uint64 // to other nodes, handed to PostgreSQL
	Received uint64 // from other nodes
	Dropped  uint64 // lost here: the queue was full, the message too long, or the bus closed
}

// Postgres is a bus over LISTEN/NOTIFY.
type Postgres struct {
	node uuid.UUID
	pool *pgxpool.Pool
	log  *slog.Logger
	hub  *db.Hub
	subs subscribers

	queue chan message
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once

	sent, received, dropped atomic.Uint64
}

// message is on its way to another node; text is its JSON, ["topic","payload"].
type message struct {
	node uuid.UUID
	text string
}

// Open makes a bus on the pool's database and returns when it listens. It keeps one connection beside the pool, and takes
// one from the pool while it sends.
func Open(ctx context.Context, pool *pgxpool.Pool, o Options) (*Postgres, error) {
	if o.Queue <= 0 {
		o.Queue = 8192
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Postgres{
		node: uuid.New(), pool: pool, log: o.Log, subs: subscribers{log: o.Log},
		queue: make(chan message, o.Queue), stop: make(chan struct{}), done: make(chan struct{}),
	}
	b.hub = db.NewHub(pool, db.HubOptions{Log: o.Log, OnLoss: func() { b.subs.deliver(Resync, "") }})
	b.hub.Listen(channel(b.node), b.receive)
	if err := b.hub.Wait(ctx); err != nil {
		b.hub.Close()
		return nil, fmt.Errorf("open bus: %w", err)
	}
	go b.send()
	return b, nil
}

// channel is the node's channel in PostgreSQL: 48 of at most 63 bytes.
func channel(node uuid.UUID) string {
	return "countersign_bus_" + strings.ReplaceAll(node.String(), "-", "")
}

// Node is this node's identity, new at each start.
func (b *Postgres) Node() uuid.UUID { return b.node }

// Stats are the counts so far.
func (b *Postgres) Stats() Stats {
	return Stats{Sent: b.sent.Load(), Received: b.received.Load(), Dropped: b.dropped.Load()}
}

// Subscribe has fn called for each message of the topic.
func (b *Postgres) Subscribe(topic string, fn func(payload string)) (cancel func()) {
	return b.subs.add(topic, fn)
}

// Notify calls the topic's subscribers on the node. To another node, topic and payload must be UTF-8 and together have
// fewer than about 7800 bytes.
func (b *Postgres) Notify(node uuid.UUID, topic, payload string) {
	if node == b.node {
		go b.subs.deliver(topic, payload)
		return
	}
	text, err := json.Marshal([2]string{topic, payload})
	if err != nil || len(text) > maxPayload {
		b.drop(1, "too long")
		return
	}
	select {
	case <-b.stop:
		b.drop(1, "closed")
	default:
		select {
		case b.queue <- message{node: node, text: string(text)}:
		default:
			b.drop(1, "queue full")
		}
	}
}

// drop counts lost messages and tells the log at the first and at every thousandth.
func (b *Postgres) drop(n int, why string) {
	after := b.dropped.Add(uint64(n))
	if before := after - uint64(n); before == 0 || before/1000 != after/1000 {
		b.log.Warn("bus dropped messages", "reason", why, "dropped", after)
	}
}

// Close sends what is queued, for at most two seconds, and ends the bus.
func (b *Postgres) Close() {
	b.once.Do(func() { close(b.stop) })
	<-b.done
	b.hub.Close()
	b.subs.close()
}

// send is the one sender: what has gathered while the last statement ran goes with the next.
func (b *Postgres) send() {
	defer close(b.done)
	for {
		var batch []message
		closing := false
		select {
		case m := <-b.queue:
			batch = append(batch, m)
		case <-b.stop:
			closing = true
		}
	gather:
		for len(batch) < maxBatch {
			select {
			case m := <-b.queue:
				batch = append(batch, m)
			default:
				break gather
			}
		}
		if closing && len(batch) == 0 {
			return
		}
		b.deliver(batch)
	}
}

// deliver sends one batch, trying again until it is through or the bus has been closing for two seconds.
func (b *Postgres) deliver(batch []message) {
	channels, payloads := pack(batch)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-b.stop:
			time.AfterFunc(2*time.Second, cancel)
		case <-ctx.Done():
		}
	}()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		try, end := context.WithTimeout(ctx, 5*time.Second)
		_, err := b.pool.Exec(try, "SELECT pg_notify(c, p) FROM unnest($1::text[], $2::text[]) AS m (c, p)", channels, payloads)
		end()
		if err == nil {
			b.sent.Add(uint64(len(batch)))
			return
		}
		if !db.Away(err) && ctx.Err() == nil { // our fault: the same statement would fail for ever
			b.log.Error("bus cannot send", "error", err)
			b.drop(len(batch), "refused")
			return
		}
		select {
		case <-ctx.Done():
			b.drop(len(batch), "closed")
			return
		case <-time.After(pause):
		}
	}
}

// pack joins the messages of each node, a line each, into payloads that fit.
func pack(batch []message) (channels, payloads []string) {
	open := map[uuid.UUID]int{} // the payload of each node that still has room
	for _, m := range batch {
		i, ok := open[m.node]
		if !ok || len(payloads[i])+1+len(m.text) > maxPayload {
			open[m.node] = len(payloads)
			channels = append(channels, channel(m.node))
			payloads = append(payloads, m.text)
			continue
		}
		payloads[i] += "\n" + m.text
	}
	return channels, payloads
}

// receive takes one notification apart. The channel is open to whoever may connect to the database, so nothing in it is
// trusted beyond its form.
func (b *Postgres) receive(payload string) {
	for line := range strings.SplitSeq(payload, "\n") {
		var m [2]string
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			b.log.Warn("bus received nonsense", "error", err)
			continue
		}
		b.received.Add(1)
		b.subs.deliver(m[0], m[1])
	}
}

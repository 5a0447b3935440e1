package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// recipe makes the durable statements of one approval for any person, from those of a recorded one. Keys become the
// person's or new ones, times move on, everything else, and so every size, stays.
type recipe struct {
	trips []trip
	of    *person   // of the recorded approval
	tx    uuid.UUID // its prompt
	at    time.Time // when it was
	keep  map[uuid.UUID]bool
}

// capture records an approval. reads are the round trips that the raw limit leaves out.
func (w *world) capture(ctx context.Context) (r *recipe, reads []trip, err error) {
	c, err := w.pair()
	if err != nil {
		return nil, nil, err
	}
	defer c.close()
	if _, err := w.approve(ctx, c, w.login()); err != nil { // what is read once is read
		return nil, nil, err
	}
	p := w.login()
	r = &recipe{of: p, at: time.Now(), keep: map[uuid.UUID]bool{w.flow: true, w.app.Node(): true}}
	all, err := w.trace.record(func() error {
		_, err := w.approve(ctx, c, p)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	for _, t := range all {
		control := len(t) == 1 && (strings.EqualFold(t[0].sql, "begin") || strings.EqualFold(t[0].sql, "commit"))
		if t.durable() || control {
			r.trips = append(r.trips, t)
		} else {
			reads = append(reads, t)
		}
	}
	err = w.admin.QueryRow(ctx, `SELECT tx_id FROM mobile_transactions WHERE device = $1 AND status = 'accept' ORDER BY created DESC LIMIT 1`, p.device).Scan(&r.tx)
	if err != nil {
		return nil, nil, fmt.Errorf("find the recorded prompt: %w", err)
	}
	return r, reads, nil
}

// rings counts the places of the raw side's rings, apart from those that the server gives after them.
var rings atomic.Int64

const ringStep = 1 << 20

// cook is one worker's use of a recipe.
type cook struct {
	*recipe
	p    *person
	tx   uuid.UUID
	back time.Duration
	swap []string // pairs of texts of keys
	args []any
}

// with prepares the statements for a person.
func (k *cook) with(p *person) error {
	tx, err := uuid.NewV7()
	if err != nil {
		return err
	}
	k.p, k.tx, k.back = p, tx, time.Since(k.at)
	hex := func(id uuid.UUID) string { return strings.ReplaceAll(id.String(), "-", "") }
	k.swap = []string{
		k.of.device.String(), p.device.String(), hex(k.of.device), hex(p.device),
		k.recipe.tx.String(), tx.String(), hex(k.recipe.tx), hex(tx), k.of.name, p.name,
		fmt.Sprintf(`"pending_user":%d`, k.of.user), fmt.Sprintf(`"pending_user":%d`, p.user),
	}
	if p.signer != nil { // else the statements that demand the phone's key write nothing
		k.swap = append(k.swap, k.of.signer.Thumbprint, p.signer.Thumbprint)
	}
	return nil
}

// fill gives the arguments of a statement; they are good until the next call when reuse is set.
func (k *cook) fill(sql string, from []any, reuse bool) []any {
	var out []any
	if reuse {
		out = k.args[:0]
	}
	for _, a := range from {
		switch v := a.(type) {
		case uuid.UUID:
			a = k.id(v)
		case int:
			if v == k.of.user {
				a = k.p.user
			}
		case int64: // a ring's place among its user's, which none has twice
			if strings.HasPrefix(sql, "INSERT INTO mobile_transactions") {
				a = rings.Add(ringStep)
			}
		case time.Time:
			a = v.Add(k.back)
		case string:
			a = string(k.text([]byte(v)))
		case json.RawMessage:
			a = json.RawMessage(k.text(v))
		case []byte:
			switch {
			case bytes.Equal(v, k.of.hash):
				a = k.p.hash
			case len(v) == sha256.Size: // a proof's
				fresh := make([]byte, sha256.Size)
				_, _ = rand.Read(fresh)
				a = fresh
			default:
				a = k.text(v)
			}
		}
		out = append(out, a)
	}
	if reuse {
		k.args = out
	}
	return out
}

func (k *cook) id(v uuid.UUID) uuid.UUID {
	switch {
	case v == k.of.device:
		return k.p.device
	case v == k.of.session:
		return k.p.session
	case v == k.recipe.tx:
		return k.tx
	case k.keep[v]:
		return v
	}
	fresh, err := uuid.NewV7() // an event's
	if err != nil {
		return v
	}
	return fresh
}

func (k *cook) text(v []byte) []byte {
	for i := 0; i < len(k.swap); i += 2 {
		if bytes.Contains(v, []byte(k.swap[i])) {
			v = bytes.ReplaceAll(v, []byte(k.swap[i]), []byte(k.swap[i+1]))
		}
	}
	return v
}

// unit sends the durable statements of one approval.
func (k *cook) unit(ctx context.Context, conn *pgx.Conn, p *person) error {
	if err := k.with(p); err != nil {
		return err
	}
	for _, t := range k.trips {
		if len(t) == 1 {
			if _, err := conn.Exec(ctx, t[0].sql, k.fill(t[0].sql, t[0].args, true)...); err != nil {
				return err
			}
			continue
		}
		b := &pgx.Batch{}
		for _, s := range t {
			b.Queue(s.sql, k.fill(s.sql, s.args, false)...)
		}
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
	}
	return nil
}

package flowtest

import (
	"context"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Gate stands between the server and its database, and can be shut.
type Gate struct {
	pool *pgxpool.Pool
	dial pgconn.DialFunc

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

// Shut breaks all connections and refuses new ones.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

// Open lets connections through again.
func (g *Gate) Open() {
	g.mu.Lock()
	g.shut = false
	g.mu.Unlock()
	g.pool.Reset()
}

func (g *Gate) connect(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
	c, err := g.dial(ctx, network, address)
	if err == nil {
		g.conns = append(g.conns, c)
	}
	return c, err
}

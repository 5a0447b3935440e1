package bench

import (
	"context"
	"net"
	"sync"
)

// memoryNet is a network in memory, for more phones than a process may open files. It is a net.Listener.
type memoryNet struct {
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemoryNet() *memoryNet {
	return &memoryNet{calls: make(chan net.Conn), closed: make(chan struct{})}
}

// memoryConn says that its other end is on this machine.
type memoryConn struct{ net.Conn }

// RemoteAddr is an address of this machine.
func (memoryConn) RemoteAddr() net.Addr { return here() }

func here() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// Accept waits for the next connection.
func (m *memoryNet) Accept() (net.Conn, error) {
	select {
	case c := <-m.calls:
		return memoryConn{c}, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the network; connections go on.
func (m *memoryNet) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr is an address of this machine, which nobody listens on.
func (m *memoryNet) Addr() net.Addr { return here() }

// dial connects, whatever address is meant.
func (m *memoryNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case m.calls <- theirs:
		return ours, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

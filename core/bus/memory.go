package bus

import (
	"sync"

	"github.com/google/uuid"
)

// Memory joins the nodes of one process, for tests and for a single node. The zero value is ready.
type Memory struct {
	mu    sync.RWMutex
	nodes map[uuid.UUID]*memoryNode
}

type memoryNode struct {
	net  *Memory
	id   uuid.UUID
	subs subscribers
}

// NewMemory is the bus of a single node.
func NewMemory() Bus { return new(Memory).Join() }

// Join adds a node.
func (m *Memory) Join() Bus {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil {
		m.nodes = map[uuid.UUID]*memoryNode{}
	}
	n := &memoryNode{net: m, id: uuid.New()}
	m.nodes[n.id] = n
	return n
}

// Node is this node's identity.
func (n *memoryNode) Node() uuid.UUID { return n.id }

// Notify calls the node's subscribers on another goroutine.
func (n *memoryNode) Notify(node uuid.UUID, topic, payload string) {
	n.net.mu.RLock()
	to := n.net.nodes[node]
	n.net.mu.RUnlock()
	if to != nil {
		go to.subs.deliver(topic, payload)
	}
}

// Subscribe has fn called for each message of the topic.
func (n *memoryNode) Subscribe(topic string, fn func(payload string)) (cancel func()) {
	return n.subs.add(topic, fn)
}

// Close takes the node away.
func (n *memoryNode) Close() {
	n.net.mu.Lock()
	delete(n.net.nodes, n.id)
	n.net.mu.Unlock()
	n.subs.close()
}

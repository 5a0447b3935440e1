package bus

import (
	"log/slog"
	"sync"

	"github.com/google/uuid"
)

// Resync is the topic that is called, with an empty payload, when notifications from other nodes may have been lost.
const Resync = "bus.resync"

// Bus carries wake-ups. All methods are safe for use by several goroutines.
type Bus interface {
	// Node is this node's identity, new at each start.
	Node() uuid.UUID

	// Notify calls the topic's subscribers on the node. It never blocks and never fails; a message to another node may
	// be lost. Order is not kept. Subscribers of this very node are called on another goroutine, so the caller may
	// hold locks that they take.
	Notify(node uuid.UUID, topic, payload string)

	// Subscribe has fn called for each message of the topic that comes to this node, until cancel. fn must return
	// promptly: hand on what takes time. A call that began before cancel may end after it.
	Subscribe(topic string, fn func(payload string)) (cancel func())

	// Close stops the bus, gives what is queued a moment to leave, and waits for its goroutines; never call it
	// from a subscriber. Later calls do nothing.
	Close()
}

// subscribers are the local ends of a bus.
type subscribers struct {
	log *slog.Logger

	mu     sync.RWMutex
	next   uint64
	topics map[string]map[uint64]func(string)
	closed bool
}

func (s *subscribers) add(topic string, fn func(string)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics == nil {
		s.topics = map[string]map[uint64]func(string){}
	}
	if s.topics[topic] == nil {
		s.topics[topic] = map[uint64]func(string){}
	}
	id := s.next
	s.next++
	s.topics[topic][id] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.topics[topic], id)
		if len(s.topics[topic]) == 0 {
			delete(s.topics, topic)
		}
	}
}

// deliver calls the topic's subscribers, without the lock held.
func (s *subscribers) deliver(topic, payload string) {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return
	}
	fns := make([]func(string), 0, len(s.topics[topic]))
	for _, fn := range s.topics[topic] {
		fns = append(fns, fn)
	}
	s.mu.RUnlock()
	for _, fn := range fns {
		s.call(topic, payload, fn)
	}
}

// call keeps one subscriber's panic from ending the process, as no caller is there to recover it.
func (s *subscribers) call(topic, payload string, fn func(string)) {
	defer func() {
		if p := recover(); p != nil && s.log != nil {
			s.log.Error("bus subscriber panicked", "topic", topic, "panic", p)
		}
	}()
	fn(payload)
}

func (s *subscribers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

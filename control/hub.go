package control

import (
	"sync"
	"sync/atomic"
)

// hub hands values to whoever listens. Sending never waits: a listener whose
// queue is full misses the value, and it is counted.
type hub[T any] struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*listener[T]]
}

// listener is one queue of a hub.
type listener[T any] struct {
	ch   chan T
	want func(*T) bool // nil is everything
	lost atomic.Uint64
}

// add makes a listener; first says that there was none before.
func (h *hub[T]) add(room int, want func(*T) bool) (l *listener[T], first bool) {
	l = &listener[T]{ch: make(chan T, room), want: want}
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*listener[T]
	if old := h.list.Load(); old != nil {
		list = append(list, *old...)
	}
	first = len(list) == 0
	list = append(list, l)
	h.list.Store(&list)
	return l, first
}

// remove takes one out; last says that there is none any more.
func (h *hub[T]) remove(l *listener[T]) (last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*listener[T]
	for _, x := range *h.list.Load() {
		if x != l {
			list = append(list, x)
		}
	}
	h.list.Store(&list)
	return len(list) == 0
}

// send gives a value to all who want it.
func (h *hub[T]) send(v T) {
	list := h.list.Load()
	if list == nil {
		return
	}
	for _, l := range *list {
		if l.want != nil && !l.want(&v) {
			continue
		}
		select {
		case l.ch <- v:
		default:
			l.lost.Add(1)
		}
	}
}

package engine

import "weir/iface"

// Watcher chooses packets whose walks are shown to it while the machine runs.
// It is called while the machine walks and must neither wait nor use the
// machine.
type Watcher interface {
	// Want is asked for every packet that is about to be walked. in is nil for
	// one that the machine sends itself. data is rewritten by the walk.
	Want(in *iface.Iface, data []byte, now int64) bool
	// Saw is told what became of a packet that was wanted, before anything else
	// happens. r is valid during the call.
	Saw(r *Result)
}

// Watch shows walks to w; nil ends it. Meanwhile no packet goes the short way,
// but the outcome of earlier packets still spares those that are not wanted a
// walk through the tables.
func (m *Machine) Watch(w Watcher) {
	m.watcher, m.watching = w, false
	m.show()
}

// saw tells the watcher about the packet that it wanted.
func (m *Machine) saw(r Result) {
	if m.watching {
		m.watching = false
		m.tell(r)
	}
}

// tell is apart, since what it is given goes to the heap.
//
//go:noinline
func (m *Machine) tell(r Result) { m.watcher.Saw(&r) }

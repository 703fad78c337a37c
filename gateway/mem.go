package gateway

import "sync"

// End is one end of a link in memory: what is written to one end is read from
// the other. Make both with NewLink.
type End struct {
	name string
	mtu  int
	in   *pipe
	out  *pipe
	// read is the packets that the last Read handed out.
	read [][]byte
	// stopped is guarded by the lock of in.
	stopped bool
}

// pipe is one direction of a link.
type pipe struct {
	mu     sync.Mutex
	filled sync.Cond
	// list holds copies, at most depth.
	list   [][]byte
	spare  [][]byte
	depth  int
	closed bool
}

// NewLink makes a link in memory for IP packets of at most mtu bytes, with a
// queue of depth packets in each direction; what does not fit is lost.
func NewLink(a, b string, mtu, depth int) (*End, *End) {
	there, back := newPipe(depth), newPipe(depth)
	return &End{name: a, mtu: mtu, in: back, out: there}, &End{name: b, mtu: mtu, in: there, out: back}
}

func newPipe(depth int) *pipe {
	p := &pipe{depth: depth}
	p.filled.L = &p.mu
	return p
}

// Name implements Device.
func (e *End) Name() string { return e.name }

// MTU implements Device.
func (e *End) MTU() int { return e.mtu }

// Offloads implements Device.
func (e *End) Offloads() bool { return false }

// Up implements Device.
func (e *End) Up() error { return nil }

// Queues implements Device.
func (e *End) Queues() []Queue { return []Queue{e} }

// Stop implements Device.
func (e *End) Stop() error {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	e.stopped = true
	e.in.filled.Broadcast()
	return nil
}

// Close closes the link, both ends of it.
func (e *End) Close() error {
	for _, p := range []*pipe{e.in, e.out} {
		p.mu.Lock()
		p.closed = true
		p.filled.Broadcast()
		p.mu.Unlock()
	}
	return nil
}

// Read implements Queue.
func (e *End) Read(batch []Packet) (n int, err error) {
	p := e.in
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare = append(p.spare, e.read...)
	e.read = e.read[:0]
	for len(p.list) == 0 && !p.closed && !e.stopped {
		p.filled.Wait()
	}
	if e.stopped || len(p.list) == 0 {
		return 0, ErrClosed
	}
	for ; n < min(len(batch), len(p.list)); n++ {
		batch[n] = Packet{Data: p.list[n]}
		e.read = append(e.read, p.list[n])
	}
	p.list = append(p.list[:0], p.list[n:]...)
	return n, nil
}

// Write implements Queue.
func (e *End) Write(batch []Packet) (n int, err error) {
	p := e.out
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range batch {
		switch {
		case p.closed:
			return n, ErrClosed
		case len(p.list) == p.depth:
			return n, errFull
		case len(batch[i].Data) > e.mtu:
			err = errTooLong
			continue
		}
		var b []byte
		if k := len(p.spare); k > 0 {
			b, p.spare = p.spare[k-1], p.spare[:k-1]
		}
		p.list = append(p.list, append(b[:0], batch[i].Data...))
		n++
	}
	p.filled.Signal()
	return n, err
}

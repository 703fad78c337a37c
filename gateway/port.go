package gateway

import (
	"errors"
	"sync"
	"sync/atomic"

	"weir/engine"
	"weir/iface"
	"weir/machine"
)

// port is an interface of the machine with its device.
type port struct {
	g     *Gateway
	name  string
	link  machine.Link
	given Device // by the gateway's owner
	local bool   // it leads to the machine's own stack
	// adopted came from a predecessor; attach takes it.
	adopted Device
	// iface is the machine's interface, which Reload replaces.
	iface atomic.Pointer[iface.Iface]

	mu      sync.Mutex
	dev     Device // nil while there is none
	stopped bool
	workers []*worker
	// told is why revive did not work; it is revive's.
	told string
	// queues is those of dev, for who sends.
	queues   atomic.Pointer[[]Queue]
	offloads atomic.Bool

	stats counters
}

// attach opens the device, which stays down.
func (p *port) attach() error {
	dev := p.given
	if dev == nil {
		dev, p.adopted = p.adopted, nil
	}
	if dev == nil {
		var err error
		if dev, err = open(p.link, p.g.queues()); err != nil {
			return err
		}
	}
	list := dev.Queues()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := dev.(*Ethernet); ok {
		e.port = p
	}
	p.dev = dev
	p.offloads.Store(dev.Offloads())
	p.queues.Store(&list)
	return nil
}

// up lets packets pass.
func (p *port) up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dev.Up()
}

// start gives each queue of the device a goroutine.
func (p *port) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.dev == nil {
		return
	}
	for i, q := range *p.queues.Load() {
		if i == len(p.workers) {
			p.workers = append(p.workers, newWorker(p, i))
		}
		w, dev := p.workers[i], p.dev
		w.done.Wait() // for the goroutine of a device that went
		w.ether, _ = dev.(*Ethernet)
		w.done.Add(1)
		p.g.running.Add(1)
		go func() {
			defer p.g.running.Done()
			defer w.done.Done()
			if err := w.run(q); err != nil {
				p.lost(dev, err)
			}
		}()
	}
}

// lost gives up a device that fails.
func (p *port) lost(dev Device, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dev != dev || p.stopped {
		return
	}
	p.g.log.Error("device lost", "interface", p.name, "device", dev.Name(), "error", err)
	if p.given == nil && p.g.opt.Opened != nil {
		p.g.log.Error("the device cannot be opened again without privileges: restart weir", "interface", p.name)
	}
	p.dev = nil
	p.queues.Store(nil)
	dev.Close()
}

// leaver is a device whose readers need not hear that it went; it is asked now
// and then.
type leaver interface{ gone() error }

// revive finds out that a device went, and opens it again. That is tried again and
// again; each reason why it does not work is told once.
func (p *port) revive() {
	p.mu.Lock()
	dev := p.dev
	p.mu.Unlock()
	if d, ok := dev.(leaver); ok {
		if err := d.gone(); err != nil {
			p.lost(dev, err)
		}
	}
	p.mu.Lock()
	gone := p.dev == nil && !p.stopped && p.given == nil && p.g.opt.Opened == nil
	p.mu.Unlock()
	if !gone {
		return
	}
	err := p.attach()
	if err == nil {
		if err = p.up(); err != nil {
			_ = p.close()
		}
	}
	if err != nil {
		if s := err.Error(); s != p.told {
			p.told = s
			p.g.log.Warn("the device cannot be opened again", "interface", p.name, "error", err)
		}
		return
	}
	p.told = ""
	p.start()
	p.stats.reopened.Add(1)
	p.g.log.Info("device is back", "interface", p.name)
}

// ethernet is the device if its link has frames, else nil.
func (p *port) ethernet() *Ethernet {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, _ := p.dev.(*Ethernet)
	return e
}

// stop ends reading.
func (p *port) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.dev == nil {
		return nil
	}
	return p.dev.Stop()
}

// resume takes back a stop.
func (p *port) resume() {
	p.mu.Lock()
	p.stopped = false
	r, ok := p.dev.(interface{ Resume() error })
	if ok {
		ok = r.Resume() == nil
	}
	dev := p.dev
	p.mu.Unlock()
	switch {
	case ok:
		p.start()
	case dev != nil:
		p.lost(dev, errors.New("it cannot be read again"))
	}
}

func (p *port) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dev == nil {
		return nil
	}
	dev := p.dev
	p.dev = nil
	p.queues.Store(nil)
	return dev.Close()
}

// send writes packets by one of the queues and counts them.
func (p *port) send(queue int, batch []Packet, split *splitter) {
	n := 0
	if !p.offloads.Load() {
		batch = split.plain(batch)
	}
	if list := p.queues.Load(); list != nil {
		n, _ = (*list)[queue%len(*list)].Write(batch)
	}
	p.stats.tx.add(uint64(n), bytesOf(batch))
	if n < len(batch) {
		p.stats.txDropped.Add(uint64(len(batch) - n))
	}
}

// worker carries what one queue reads.
type worker struct {
	p       *port
	eng     *engine.Worker
	done    sync.WaitGroup
	batch   []Packet
	in      []engine.Arrival
	results []engine.Result
	sender  sender
	arena   []byte
	ether   *Ethernet // nil: the link has no frames
}

// batchSize is how many packets are carried together at most.
const batchSize = 64

func newWorker(p *port, queue int) *worker {
	w := &worker{p: p, eng: p.g.eng.Worker(), batch: make([]Packet, batchSize)}
	w.sender.init(p.g, queue)
	return w
}

// run carries packets until the device stops; an error says that it failed.
func (w *worker) run(q Queue) error {
	for {
		n, err := q.Read(w.batch)
		if n > 0 {
			w.carry(w.batch[:n])
		}
		if errors.Is(err, ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w *worker) carry(batch []Packet) {
	p := w.p
	if p.local {
		w.carryLocal(batch)
		return
	}
	in := p.iface.Load()
	w.in = w.in[:0]
	for i := range batch {
		b := &batch[i]
		w.in = append(w.in, engine.Arrival{In: in, Link: b.Link, Data: b.Data, Offload: b.Offload})
	}
	p.stats.rx.add(uint64(len(batch)), bytesOf(batch))
	w.results = w.eng.ReceiveBatch(w.in, p.g.clock(), w.results)
	for i := range w.results {
		w.sender.queue(w.results[i].Out)
	}
	w.sender.flush()
	if w.ether != nil {
		for i := range w.results {
			if w.results[i].Verdict == engine.Delivered && isND(batch[i].Data) {
				w.ether.discover(batch[i].Data)
			}
		}
	}
}

// sender gathers what leaves by each port.
type sender struct {
	g     *Gateway
	index int // of the queues that it writes
	out   []outgoing
	// last is the port of dev, since most packets go the way of the one before.
	dev  *iface.Iface
	last *outgoing

	split splitter
}

// outgoing is what leaves by one port.
type outgoing struct {
	p     *port
	batch []Packet
}

func (s *sender) init(g *Gateway, queue int) {
	s.g, s.index = g, queue
	s.out = make([]outgoing, len(g.ports))
	for i, p := range g.ports {
		s.out[i].p = p
	}
}

func (s *sender) queue(list []engine.Output) {
	for i := range list {
		o := &list[i]
		if o.Dev != s.dev {
			s.dev, s.last = o.Dev, s.of(o.Dev)
		}
		if s.last != nil && !(s.last.p.local && isND(o.Data)) {
			s.last.batch = append(s.last.batch, Packet{Data: o.Data, Via: o.Via, Offload: o.Offload})
		}
	}
}

func (s *sender) of(dev *iface.Iface) *outgoing {
	p := s.g.portOf(dev)
	for i := range s.out {
		if s.out[i].p == p {
			return &s.out[i]
		}
	}
	return nil
}

func (s *sender) flush() {
	for i := range s.out {
		if o := &s.out[i]; len(o.batch) > 0 {
			o.p.send(s.index, o.batch, &s.split)
			o.batch = o.batch[:0]
		}
	}
}

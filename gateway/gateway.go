package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/machine"
	"weir/replay"
	"weir/xtables"
)

// Options are what a gateway takes from outside. The zero value is good.
type Options struct {
	// Clock is the time in ns since the Unix epoch, which must not go back.
	// nil is the wall clock at the start, and from then on as much later as
	// time passed, whatever becomes of the wall clock.
	Clock func() int64
	// Random is where the secret seed of the machine comes from; nil is the
	// system's source.
	Random io.Reader
	// Logger takes what the gateway has to say; nil for nobody.
	Logger *slog.Logger
	// Log takes what rules log (LOG, NFLOG); nil writes it to Logger. It is
	// called while the machine is held and must not wait.
	Log hook.Logger
	// Ready is called once, when packets pass; nil for nobody.
	Ready func()
	// Devices are devices that are there already, by the name of the
	// interface; "local" leads to the machine's own stack. Others are opened as the machine's links say.
	Devices map[string]Device
	// Opened is called when everything is open and the rules are there, before
	// the first packet is read: the time to give up privileges. An error ends
	// Run. Devices that go are not opened again if it is set.
	Opened func() error
	// State is a file in which the connections are written down every few
	// seconds, and from which Run takes those that a crash left; empty for none.
	State string
	// Handover is where another process may ask for the devices and the
	// connections; Run ends when it has them. It is called after Ready; nil, or
	// an answer of nil, is nowhere.
	Handover func() net.Listener
	// Takeover leads to a process whose Handover it is: devices and connections
	// are its. It ends when that process has. nil for none.
	Takeover *net.UnixConn
	// Queues is how many queues a device may have; 0 is one for each CPU that
	// Go uses.
	Queues int
}

// Gateway is a machine with its devices. Make one with New.
type Gateway struct {
	opt   Options
	clock func() int64
	log   *slog.Logger
	lines *lines // nil: Options.Log takes them
	eng   *engine.Machine
	ports []*port
	byDev map[int]*port // by interface index

	dir     string
	routes6 atomic.Bool    // it is a router for IPv6
	macs    map[string]MAC // of devices, by name

	// loading guards mach: one Reload at a time.
	loading sync.Mutex
	mach    *machine.Machine

	running sync.WaitGroup

	handed    atomic.Bool // a successor has, or is given, everything
	successor *net.UnixConn
	snap      []byte
}

// tickEvery is how often time passes for a machine without packets, and
// devices that went are looked for.
const tickEvery = 100 * time.Millisecond

// New makes the machine of a directory, with its rules, or says everything
// that is wrong with it. No device is opened yet.
func New(dir string, o Options) (*Gateway, []error) {
	m, errs := machine.Load(dir)
	if m == nil {
		return nil, errs
	}
	g := &Gateway{opt: o, clock: o.Clock, log: o.Logger, mach: m, dir: m.Dir, macs: map[string]MAC{}}
	g.routes6.Store(forwards6(m))
	if g.clock == nil {
		g.clock = steadyClock(time.Now())
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	seed, err := secret(o.Random)
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		errs = g.address(m)
	}
	c := replay.Config(m, seed)
	c.Start = g.clock()
	c.Log = o.Log
	c.Handover = m.LocalTUN != ""
	c.Idle = func(t *xtables.IdleTimer, at int64) {
		g.log.Info("idle timer ran out", "label", t.Label, "at", time.Unix(0, at).UTC())
	}
	if c.Log == nil {
		g.lines = newLines(g.log)
		c.Log = g.lines
	}
	eng, more := engine.New(c)
	errs = append(errs, more...)
	if len(errs) == 0 {
		g.eng = eng
		errs = g.plug()
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return g, nil
}

// steadyClock goes on from a moment without the steps of the wall clock.
func steadyClock(start time.Time) func() int64 {
	base := start.UnixNano()
	return func() int64 { return base + int64(time.Since(start)) }
}

// secret is the seed of the machine.
func secret(r io.Reader) (uint64, error) {
	if r == nil {
		r = rand.Reader
	}
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("random seed: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// plug makes a port for each interface but lo.
func (g *Gateway) plug() (errs []error) {
	g.byDev = map[int]*port{}
	links := map[string]machine.Link{}
	for _, l := range g.mach.Links {
		links[l.Iface.Name] = l
	}
	for _, i := range g.eng.Ifaces().All() {
		if i.Loopback {
			continue
		}
		p := &port{g: g, name: i.Name, given: g.opt.Devices[i.Name]}
		p.iface.Store(i)
		l, linked := links[i.Name]
		if !linked && p.given == nil {
			errs = append(errs, fmt.Errorf("%s: interface %s has no link: a gateway needs link: tun, packet:NAME or xdp:NAME in machine.yaml", g.mach.Dir, i.Name))
		}
		p.link = l
		g.ports = append(g.ports, p)
		g.byDev[i.Index] = p
	}
	if g.mach.LocalTUN != "" {
		errs = append(errs, g.plugLocal()...)
	}
	for name := range g.opt.Devices {
		if name == machine.Local && g.mach.LocalTUN != "" {
			continue
		}
		if g.mach.Iface(name) == nil {
			errs = append(errs, fmt.Errorf("%s: a device is given for interface %s, which does not exist", g.mach.Dir, name))
		}
	}
	return errs
}

// Run carries packets until ctx is done, or until a device cannot be opened.
// What was read by then is sent. It may be called once.
func (g *Gateway) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, g.close()) }()
	if g.opt.Takeover != nil {
		if err := g.takeOver(g.opt.Takeover); err != nil {
			return fmt.Errorf("takeover: %w", err)
		}
	} else if g.opt.State != "" {
		g.readState()
	}
	for _, p := range g.ports {
		if err := p.attach(); err != nil {
			return err
		}
	}
	if g.lines != nil {
		go g.lines.run()
		defer g.lines.stop()
	}
	// The rules are there and everything is open: now packets may come.
	for _, p := range g.ports {
		if err := p.up(); err != nil {
			return err
		}
	}
	if g.opt.Opened != nil {
		if err := g.opt.Opened(); err != nil {
			return err
		}
	}
	for _, p := range g.ports {
		p.start()
	}
	g.log.Info("running", "machine", g.dir, "interfaces", len(g.ports))
	if g.opt.Ready != nil {
		g.opt.Ready()
	}
	ctx, end := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer end()
	if g.opt.State != "" {
		keeping.Go(func() { g.keepState(ctx) })
	}
	gone := make(chan struct{})
	if g.opt.Handover != nil {
		if l := g.opt.Handover(); l != nil {
			defer l.Close()
			go g.awaitSuccessor(l, gone)
		}
	}
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			g.log.Info("stopping")
			return nil
		case <-gone:
			return nil
		case <-t.C:
			if !g.handed.Load() {
				g.tick()
			}
		}
	}
}

// close ends reading, waits for what is under way and closes the devices.
func (g *Gateway) close() error {
	var errs []error
	for _, p := range g.ports {
		errs = append(errs, p.stop())
	}
	g.running.Wait()
	for _, p := range g.ports {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// tick lets time pass and looks for devices that went.
func (g *Gateway) tick() {
	now := g.clock()
	var out []engine.Output
	g.eng.Do(func() {
		for _, o := range g.eng.Tick(now).Out {
			o.Data = bytes.Clone(o.Data) // others use the machine before they are sent
			out = append(out, o)
		}
	})
	if len(out) > 0 {
		var s sender
		s.init(g, 0)
		s.queue(out)
		s.flush()
	}
	for _, p := range g.ports {
		p.revive()
		if e := p.ethernet(); e != nil {
			e.tick(now)
		}
	}
}

// Do calls f while no packet is walked, so that f may look at the machine and
// change it. Established connections go on meanwhile. f must not keep
// connections, and not call Do.
func (g *Gateway) Do(f func(m *engine.Machine)) { g.eng.Do(func() { f(g.eng) }) }

// Now is the gateway's clock, in ns since the Unix epoch.
func (g *Gateway) Now() int64 { return g.clock() }

// Dir is the machine's directory.
func (g *Gateway) Dir() string { return g.dir }

// portOf is the port of an interface of the machine, nil for lo.
func (g *Gateway) portOf(i *iface.Iface) *port { return g.byDev[i.Index] }

package gen

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"weir/internal/kernel"
	"weir/internal/wire"
)

// Packet is one packet of a case.
type Packet struct {
	// After is how long after the packet before.
	After time.Duration
	// In is an interface, or Local.
	In   string
	Data []byte
}

// Case is a machine with rules and the packets that it gets.
type Case struct {
	Seed uint64
	// Sets is text for ipset restore; random cases have none.
	Sets string
	// Accounts is text as nfacct list writes it; random cases have none.
	Accounts       string
	Machine        Machine
	Rules4, Rules6 string
	Packets        []Packet
}

// Options say what a generator may do.
type Options struct {
	// Wait lets time pass between packets now and then, in whole seconds.
	Wait bool
	// NoTrace leaves the TRACE rules away.
	NoTrace bool
}

// remembered is how many packets of each kind the hosts remember.
const remembered = 40

// machinesShared is how many seeds in a row share the interfaces and routes,
// so that a namespace can be used again.
const machinesShared = 64

// Generator makes the packets of one case.
type Generator struct {
	// Case grows with every packet.
	Case Case

	d       dice
	w       world
	options Options
	seen    []sighting // what left the machine, newest last
	sent    []sighting // what arrived at it, newest last
	queue   []Packet   // decided already: fragments
	// polite is how many more packets belong to a dialogue of two hosts
	// who keep to the rules: without it, hardly a connection grows old.
	polite int
}

// sighting is a packet on the wire of an interface.
type sighting struct {
	dev string
	wire.View
}

// New makes the machine and the rules of a seed.
func New(seed uint64, o Options) *Generator {
	m, w := newMachine(newDice(seed/machinesShared, 1))
	d := newDice(seed, 2)
	m.Sysctl = newSysctl(d)
	mk := maker{d, &w}
	rules := [2]string{mk.rules(0, !o.NoTrace), mk.rules(1, !o.NoTrace)}
	if o.Wait {
		for i := range rules {
			rules[i] = timeless(rules[i])
		}
		for _, k := range []string{"net.ipv4.ipfrag_time", "net.ipv6.ip6frag_time", "net.netfilter.nf_conntrack_frag6_timeout"} {
			m.Sysctl[k] = "8000000"
		}
	}
	return &Generator{
		Case:    Case{Seed: seed, Machine: m, Rules4: rules[0], Rules6: rules[1]},
		d:       newDice(seed, 3),
		w:       w,
		options: o,
	}
}

// timeless leaves the rules away that look at a clock: only connections grow
// old when a case waits.
func timeless(rules string) string {
	lines := strings.Split(rules, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "-m limit ") }), "\n")
}

// Next makes the next packet. Its data is the generator's: do not change it.
func (g *Generator) Next() Packet {
	var p Packet
	if len(g.queue) > 0 && g.d.percent(85) {
		p, g.queue = g.queue[0], g.queue[1:]
	} else {
		p = g.choose()
	}
	if g.options.Wait && g.d.percent(3) {
		p.After = time.Duration(oneOf(g.d, 1, 5, 31, 61, 121, 301, 601, 432001)) * time.Second
	}
	g.Case.Packets = append(g.Case.Packets, p)
	if v, ok := wire.Parse(p.Data); ok {
		g.sent = remember(g.sent, sighting{p.In, v})
	}
	return p
}

// Observe tells the hosts what left the machine because of the last packet.
func (g *Generator) Observe(out []kernel.Output) {
	for _, o := range out {
		if v, ok := wire.Parse(o.Data); ok {
			g.seen = remember(g.seen, sighting{o.Dev, v})
		}
	}
}

func remember(list []sighting, s sighting) []sighting {
	if len(list) == remembered {
		copy(list, list[1:])
		list = list[:remembered-1]
	}
	return append(list, s)
}

// recent picks from a list, newer ones more often.
func (g *Generator) recent(list []sighting) (sighting, bool) {
	if len(list) == 0 {
		return sighting{}, false
	}
	n := len(list) - 1
	if g.polite > 0 {
		return list[n], true
	}
	for n > 0 && g.d.percent(55) {
		n--
	}
	return list[n], true
}

// choose decides what happens next on the wires.
func (g *Generator) choose() Packet {
	if g.polite > 0 {
		g.polite--
		if n := len(g.seen); n > 0 && g.d.percent(90) {
			s := g.seen[n-1]
			if g.d.percent(20) && len(g.sent) > 0 { // two in a row
				if p, ok := g.goOn(); ok {
					return p
				}
			}
			if p, ok := g.answer(s); ok {
				return Packet{In: s.dev, Data: p}
			}
		}
	}
	for {
		var p Packet
		ok := false
		switch g.d.weighted(42, 18, 10, 5, 8, 3, 6, 5, 3) {
		case 0:
			p, ok = g.reply()
		case 1:
			p, ok = g.open()
			if g.polite == 0 && g.d.percent(50) {
				g.polite = g.d.between(3, 16)
			}
		case 2:
			p, ok = g.goOn()
		case 3:
			p, ok = g.again()
		case 4:
			p, ok = g.quote()
		case 5:
			p, ok = g.stranger()
		case 6:
			p, ok = g.local()
		case 7:
			p, ok = g.fragments()
		case 8:
			p, ok = g.odd()
		}
		if !ok {
			continue
		}
		if p.In != Local && g.d.percent(5) {
			p.Data = g.spoil(p.Data)
		}
		return p
	}
}

// header is an IP header as hosts send it.
func (g *Generator) header(src, dst netip.Addr, proto uint8) wire.IP {
	d := g.d
	h := wire.IP{
		Src: src, Dst: dst, Proto: proto,
		TTL: oneOf[uint8](d, 64, 64, 64, 64, 64, 128, 255, 63),
		TOS: oneOf[uint8](d, 0, 0, 0, 0, 0x10, 0xb8, 0xc0, 0x02, 0x03),
		ID:  uint16(1 + d.IntN(65535)),
		DF:  d.percent(40),
	}
	if d.percent(3) {
		h.TTL = oneOf[uint8](d, 0, 1, 1, 2)
	}
	if src.Is6() && d.percent(20) {
		h.Flow = d.Uint32()
	}
	if d.percent(2) {
		g.options4or6(&h)
	}
	return h
}

// again sends the same bytes once more.
func (g *Generator) again() (Packet, bool) {
	s, ok := g.recent(g.sent)
	return Packet{In: s.dev, Data: s.Raw}, ok
}

// data is a payload; long ones are rare.
func (g *Generator) data(most int) []byte {
	n := 0
	switch g.d.weighted(30, 45, 12, 6, 3) {
	case 1:
		n = g.d.between(1, 64)
	case 2:
		n = g.d.between(65, 600)
	case 3:
		n = oneOf(g.d, 1200, 1212, 1232, 1340, 1372, 1452, 1460, 1472)
	case 4:
		n = g.d.between(601, 1460)
	}
	b := make([]byte, min(n, most))
	for i := range b {
		b[i] = byte(g.d.Uint32())
	}
	return b
}

package linuxdiff

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/packet"
)

// player plays dialogues of two ends through the kernel and through weir, packet
// by packet, and compares what each packet caused. The ends believe what came
// out of the kernel: they answer to the addresses, ports and sequence numbers
// that they see.
type player struct {
	k *kernel.Kernel
	w *subject
	r *rand.Rand
	// wild is how many of a hundred messages are cut, repeated, turned round or
	// corrupted.
	wild int
	// counts compares the counters of the rules too.
	counts bool
	// cut, if above 0, cuts the message number cutAt at that offset.
	cutAt, cut int
	said       int // messages so far
	longest    int // and the length of number cutAt

	played []gen.Packet
	// expected and met count what the kernel's helper opened and what came of it.
	expected, met int
}

// parted is the panic that ends a dialogue at its first difference.
type parted struct{ d *Difference }

// party is a host beside the machine; with the device gen.Local it is the
// machine itself.
type party struct {
	dev  string
	addr netip.Addr
}

// inject gives a packet to both and returns what left the kernel.
func (p *player) inject(dev string, pkt []byte) []kernel.Output {
	var res kernel.Result
	var err error
	if dev == gen.Local {
		res, err = p.k.SendLocal(pkt, 0)
	} else {
		res, err = p.k.Inject(dev, pkt)
	}
	if err != nil {
		panic(err)
	}
	in := gen.Packet{In: dev, Data: pkt}
	p.played = append(p.played, in)
	for _, e := range res.Events {
		if e.Type == kernel.ExpectNew {
			p.expected++
		} else if e.Type == kernel.EventNew && e.Entry.Has&kernel.HasMaster != 0 {
			p.met++
		}
	}
	p.w.follow(pkt, &res)
	got := p.w.run(in, time.Now().UnixNano())
	if d := packetDifference(pkt, &res, &got, p.w, true); d != nil {
		d.Packet = len(p.played) - 1
		panic(parted{d})
	}
	return res.Out
}

// compare looks at the tables of both.
func (p *player) compare() {
	p.w.now = max(p.w.now, time.Now().UnixNano())
	entries, err := p.k.Dump()
	if err != nil {
		panic(err)
	}
	expects, err := p.k.Expects()
	if err != nil {
		panic(err)
	}
	d := sameTable(entries, p.w.dump(), p.w.slack)
	if d == nil {
		d = sameExpects(expects, p.w.expects())
	}
	if d != nil {
		d.Packet = len(p.played)
		panic(parted{d})
	}
}

// chance is true n times of a hundred.
func (p *player) chance(n int) bool { return p.r.IntN(100) < n }

// end is one end of a TCP connection, with what it believes.
type end struct {
	p           *player
	host        party
	port        uint16
	peer        netip.AddrPort
	seq, ack    uint32
	other       *end
	established bool
}

// connect opens a TCP connection from a host and port to an address, behind
// which to is; nil if nothing comes of it.
func (p *player) connect(from party, port uint16, at netip.AddrPort, to party) (c, s *end) {
	c = &end{p: p, host: from, port: port, peer: at, seq: p.r.Uint32()}
	s = &end{p: p, host: to, seq: p.r.Uint32()}
	c.other, s.other = s, c
	opts := []byte{2, 4, 5, 0xb4, 4, 2}
	if !c.send(wire.SYN, nil, opts) || !s.send(wire.SYN|wire.ACK, nil, opts) || !c.send(wire.ACK, nil, nil) {
		return nil, nil
	}
	return c, s
}

// segment is what the end would send.
func (e *end) segment(flags uint8, data, opts []byte) []byte {
	seg := wire.Segment{Sport: e.port, Dport: e.peer.Port(), Seq: e.seq, Ack: e.ack, Flags: flags, Win: 60000, Options: opts, Data: data}
	if flags&wire.ACK == 0 {
		seg.Ack = 0
	}
	return wire.IP{Src: e.host.addr, Dst: e.peer.Addr(), Proto: 6, TTL: 64, ID: uint16(e.p.r.Uint32() | 1), DF: true}.
		Packet(seg.Bytes(e.host.addr, e.peer.Addr()))
}

// send sends one segment and lets the other end take it; true if it arrived.
func (e *end) send(flags uint8, data, opts []byte) bool {
	_, ok := e.deliver(e.segment(flags, data, opts))
	e.seq += uint32(len(data))
	if flags&(wire.SYN|wire.FIN) != 0 {
		e.seq++
	}
	return ok
}

// deliver injects a segment and lets the other end take what arrives; it
// returns its data.
func (e *end) deliver(pkt []byte) (data []byte, ok bool) {
	o := e.other
	for _, out := range e.p.inject(e.host.dev, pkt) {
		v, good := wire.Parse(out.Data)
		if !good || out.Dev != o.host.dev || v.Proto != wire.ProtoTCP || len(v.L4) < 20 {
			continue
		}
		off := int(v.L4[12]>>4) * 4
		if off < 20 || off > len(v.L4) {
			continue
		}
		sport, dport := v.Ports()
		o.peer, o.port, o.host.addr = netip.AddrPortFrom(v.Src, sport), dport, v.Dst
		data, ok = append(data, v.L4[off:]...), true
		next := binary.BigEndian.Uint32(v.L4[4:]) + uint32(len(v.L4)-off)
		if v.L4[13]&(wire.SYN|wire.FIN) != 0 {
			next++
		}
		if !o.established || int32(next-o.ack) > 0 {
			o.ack, o.established = next, true
		}
	}
	return data, ok
}

// say sends a message, whole or mistreated, and returns what the other end got.
func (e *end) say(msg string) (got string) {
	p := e.p
	p.said++
	data := []byte(msg)
	const flags = wire.ACK | wire.PSH
	if p.said == p.cutAt {
		p.longest = len(data)
		if p.cut > 0 && p.cut < len(data) {
			a, _ := e.deliver(e.segment(flags, data[:p.cut], nil))
			e.seq += uint32(p.cut)
			b, _ := e.deliver(e.segment(flags, data[p.cut:], nil))
			e.seq += uint32(len(data) - p.cut)
			return string(a) + string(b)
		}
	}
	if !p.chance(p.wild) {
		g, ok := e.deliver(e.segment(flags, data, nil))
		e.seq += uint32(len(data))
		if ok && p.chance(40) {
			e.other.acknowledge()
		}
		return string(g)
	}
	switch p.r.IntN(7) {
	case 6: // and then an error about what was heard
		g, _ := e.deliver(e.segment(flags, data, nil))
		e.seq += uint32(len(data))
		e.other.complain()
		e.complain()
		return string(g)
	case 0: // in two pieces
		at := p.r.IntN(len(data) + 1)
		a, _ := e.deliver(e.segment(flags, data[:at], nil))
		e.seq += uint32(at)
		b, _ := e.deliver(e.segment(flags, data[at:], nil))
		e.seq += uint32(len(data) - at)
		return string(a) + string(b)
	case 1: // in two pieces, the second first
		at := p.r.IntN(len(data) + 1)
		first := e.segment(flags, data[:at], nil)
		e.seq += uint32(at)
		b, _ := e.deliver(e.segment(flags, data[at:], nil))
		e.seq += uint32(len(data) - at)
		a, _ := e.deliver(first)
		return string(a) + string(b)
	case 2: // twice
		pkt := e.segment(flags, data, nil)
		g, _ := e.deliver(pkt)
		e.seq += uint32(len(data))
		e.deliver(pkt)
		return string(g)
	case 3: // with bytes changed
		for range 1 + p.r.IntN(3) {
			corrupt(p.r, data)
		}
	case 4: // with something put in, or cut off
		at := p.r.IntN(len(data) + 1)
		if p.chance(50) {
			data = data[:at]
		} else {
			data = slices.Insert(data, at, []byte([]string{" ", "\r\n", "999999999", "|", ",", "\x00", "1", "::", "%", "\x01"}[p.r.IntN(10)])...)
		}
	case 5: // with options, one of them perhaps broken
		opts := []byte{1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(opts[4:], e.ack-uint32(p.r.IntN(40)))
		binary.BigEndian.PutUint32(opts[8:], e.ack+uint32(p.r.IntN(40)))
		if p.chance(20) {
			opts[p.r.IntN(4)] = byte(p.r.IntN(12))
		}
		g, _ := e.deliver(e.segment(flags, data, opts))
		e.seq += uint32(len(data))
		return string(g)
	}
	if len(data) > 1400 {
		data = data[:1400]
	}
	g, _ := e.deliver(e.segment(flags, data, nil))
	e.seq += uint32(len(data))
	return string(g)
}

// corrupt changes one byte.
func corrupt(r *rand.Rand, data []byte) {
	if len(data) == 0 {
		return
	}
	at := r.IntN(len(data))
	switch r.IntN(4) {
	case 0:
		data[at] = byte(r.IntN(256))
	case 1:
		data[at] ^= 1 << r.IntN(8)
	case 2:
		data[at] = "0123456789"[r.IntN(10)]
	default:
		data[at] = " \r\n,.|:;()@<>\x00=\"/"[r.IntN(17)]
	}
}

// complain sends an ICMP error about a packet that the other end sent, as this
// end saw it.
func (e *end) complain() {
	v := wire.Segment{Sport: e.peer.Port(), Dport: e.port, Seq: e.ack, Ack: e.seq, Flags: wire.ACK, Win: 60000}
	inner := wire.IP{Src: e.peer.Addr(), Dst: e.host.addr, Proto: 6, TTL: 60, ID: uint16(e.p.r.Uint32())}.Packet(v.Bytes(e.peer.Addr(), e.host.addr))
	typ, code := uint8(3), uint8(1)
	if e.host.addr.Is6() {
		typ, code = 1, 3
	}
	e.p.inject(e.host.dev, wire.IP{Src: e.host.addr, Dst: e.peer.Addr(), Proto: wire.ICMPOf(e.host.addr), TTL: 64, ID: 7}.
		Packet(wire.ICMP(e.host.addr, e.peer.Addr(), typ, code, 0, inner[:min(len(inner), 20+e.p.r.IntN(60))])))
}

// acknowledge sends an acknowledgement, sometimes a selective one.
func (e *end) acknowledge() {
	var opts []byte
	if e.p.chance(30) {
		opts = []byte{1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(opts[4:], e.ack-uint32(e.p.r.IntN(30)))
		binary.BigEndian.PutUint32(opts[8:], e.ack)
		if e.p.chance(20) {
			opts = append(opts[1:], 0)
		}
	}
	e.deliver(e.segment(wire.ACK, nil, opts))
}

// close ends the connection from both sides.
func (e *end) close() {
	e.send(wire.FIN|wire.ACK, nil, nil)
	e.other.send(wire.FIN|wire.ACK, nil, nil)
	e.send(wire.ACK, nil, nil)
}

// datagram sends UDP and returns what left by a device.
func (p *player) datagram(from party, port uint16, to netip.AddrPort, msg []byte, by string) (v wire.View, ok bool) {
	data := slices.Clone(msg)
	if p.chance(p.wild) {
		switch p.r.IntN(3) {
		case 0:
			for range 1 + p.r.IntN(3) {
				corrupt(p.r, data)
			}
		case 1:
			data = data[:p.r.IntN(len(data)+1)]
		default:
			at := p.r.IntN(len(data) + 1)
			data = slices.Insert(data, at, []byte{byte(p.r.IntN(256))}...)
		}
	}
	b := wire.Datagram(17, from.addr, to.Addr(), port, to.Port(), data)
	if p.chance(10) {
		b[6], b[7] = 0, 0 // without a checksum
	}
	pkt := wire.IP{Src: from.addr, Dst: to.Addr(), Proto: 17, TTL: 64, ID: uint16(p.r.Uint32() | 1)}.Packet(b)
	if from.addr.Is4() && from.dev != gen.Local && len(pkt) > 60 && p.chance(p.wild/4) {
		for _, f := range p.fragments(pkt) {
			p.inject(from.dev, f)
		}
		return v, false // what comes of it is compared, and answered by nobody
	}
	for _, out := range p.inject(from.dev, pkt) {
		if out.Dev == by {
			if u, good := wire.Parse(out.Data); good && len(u.L4) >= 8 && u.Proto == 17 {
				v, ok = u, true
			}
		}
	}
	return v, ok
}

// fragments cuts a packet in two, in order or the other way round.
func (p *player) fragments(pkt []byte) [][]byte {
	at := 20 + 8*(1+p.r.IntN((len(pkt)-21)/8))
	a, b := slices.Clone(pkt[:at]), append(slices.Clone(pkt[:20]), pkt[at:]...)
	a[6] = 0x20
	binary.BigEndian.PutUint16(b[6:], uint16(at-20)/8)
	for _, f := range [][]byte{a, b} {
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		wire.FixIP(f)
	}
	if p.chance(50) {
		a, b = b, a
	}
	return [][]byte{a, b}
}

// dialogue is a protocol's conversation.
type dialogue struct {
	name string
	// attach is the options of -j CT in raw, after the protocol and port.
	rules []string
	v6    bool
	// quiet: no event tells of a new connection, and so of the port that the
	// kernel chose at random.
	quiet bool
	play  func(p *player, c, s party, at netip.Addr)
}

// surroundings is a machine for dialogues: how it translates.
type surroundings struct {
	name       string
	nat4, nat6 string
	// inside says that the client is behind lan0, else behind wan0. at is where
	// it finds the server.
	inside bool
	at     func(v6 bool) netip.Addr
}

func settings() []surroundings {
	server := func(v6 bool) netip.Addr { return host(v6, false, 10) }
	inner := func(v6 bool) netip.Addr { return host(v6, true, 10) }
	own := func(v6 bool) netip.Addr { return host(v6, false, 1) }
	return []surroundings{
		{name: "no NAT", inside: true, at: server},
		{name: "no NAT, client outside", at: inner},
		{name: "masquerade", nat4: "-A POSTROUTING -o wan0 -j MASQUERADE\n", nat6: "-A POSTROUTING -o wan0 -j MASQUERADE\n", inside: true, at: server},
		{
			name: "source ports taken anew", nat4: "-A POSTROUTING -o wan0 -j SNAT --to-source 198.51.100.77 --random\n",
			nat6: "-A POSTROUTING -o wan0 -j SNAT --to-source 2001:db8:2::123:77 --random\n", inside: true, at: server,
		},
		{
			name: "destination", nat4: "-A PREROUTING -i wan0 -d 198.51.100.1 -j DNAT --to-destination 192.0.2.10\n",
			nat6: "-A PREROUTING -i wan0 -d 2001:db8:2::1 -j DNAT --to-destination 2001:db8:1::10\n", at: own,
		},
		{
			name: "both sides", nat4: "-A PREROUTING -i wan0 -d 198.51.100.1 -j DNAT --to-destination 192.0.2.10\n-A POSTROUTING -o lan0 -j MASQUERADE\n",
			nat6: "-A PREROUTING -i wan0 -d 2001:db8:2::1 -j DNAT --to-destination 2001:db8:1::10\n-A POSTROUTING -o lan0 -j MASQUERADE\n", at: own,
		},
	}
}

// helper is the name of the helper in the first rule.
func (d *dialogue) helper() string {
	_, rest, _ := strings.Cut(d.rules[0], "--helper ")
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// rules is the rule set of a dialogue in a surroundings.
func (d *dialogue) rulesIn(s *surroundings) (four, six string) {
	text := "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
	for _, chain := range []string{"PREROUTING", "OUTPUT"} {
		for _, r := range d.rules {
			text += "-A " + chain + " " + r + "\n"
		}
	}
	text += "COMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n%sCOMMIT\n" +
		"*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" +
		"-A FORWARD -m conntrack --ctstate NEW -j CONNMARK --set-mark 0x77\nCOMMIT\n" +
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -m conntrack --ctstate RELATED\n" +
		"-A FORWARD -m conntrack --ctstatus EXPECTED\n-A FORWARD -m helper --helper " + d.helper() + "\n-A FORWARD -m connmark --mark 0x77\nCOMMIT\n"
	if d.v6 {
		return "", fmt.Sprintf(text, s.nat6)
	}
	return fmt.Sprintf(text, s.nat4), ""
}

// playIn plays a dialogue and returns the first difference.
func (d *dialogue) playIn(s *surroundings, k *kernel.Kernel, p *player, seed uint64) (diff *Difference, err error) {
	c := &gen.Case{Machine: extensionMachine(), Seed: seed}
	c.Rules4, c.Rules6 = d.rulesIn(s)
	w, err := newSubject(c, BySeed)
	if err != nil {
		return nil, err
	}
	if p.counts { // from zero
		if err := k.Reload(c.Rules4, c.Rules6); err != nil {
			return nil, err
		}
	}
	if err := k.Flush(); err != nil {
		return nil, err
	}
	w.slack = 3 // seconds by which a busy machine's ticks may be late
	p.k, p.w, p.r = k, w, rand.New(rand.NewPCG(seed, 0x68656c70))
	defer func() {
		switch e := recover().(type) {
		case nil:
		case parted:
			diff = e.d
		default:
			panic(e)
		}
	}()
	client, server := party{"wan0", host(d.v6, false, 10)}, party{"lan0", host(d.v6, true, 10)}
	if s.inside {
		client, server = party{"lan0", host(d.v6, true, 10)}, party{"wan0", host(d.v6, false, 10)}
	}
	d.play(p, client, server, s.at(d.v6))
	p.compare()
	if !p.counts {
		return nil, nil
	}
	text, err := k.Save(d.v6)
	if err != nil {
		return nil, err
	}
	family, what := packet.IPv4, "counters4"
	if d.v6 {
		family, what = packet.IPv6, "counters6"
	}
	if diff := sameCounters(what, text, w.counters(family)); diff != nil {
		diff.Packet = len(p.played)
		return diff, nil
	}
	return nil, nil
}

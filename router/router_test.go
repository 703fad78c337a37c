package router

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/trace"
)

// udp makes a UDP packet of either family.
func udp(src, dst string, ttl uint8, payload int) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	var b []byte
	if s.Is4() {
		b = make([]byte, 20, 2048)
		b[0], b[8], b[9] = 0x45, ttl, packet.UDP
		copy(b[12:], s.AsSlice())
		copy(b[16:], d.AsSlice())
	} else {
		b = make([]byte, 40, 2048)
		b[0], b[6], b[7] = 0x60, packet.UDP, ttl
		copy(b[8:], s.AsSlice())
		copy(b[24:], d.AsSlice())
	}
	u := make([]byte, 8+payload)
	binary.BigEndian.PutUint16(u[0:], 4000)
	binary.BigEndian.PutUint16(u[2:], 53)
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	return sealed(rand.New(rand.NewPCG(0, 3)), append(b, u...))
}

func TestFates(t *testing.T) {
	for _, c := range []struct {
		name     string
		in       string
		src, dst string
		ttl      uint8
		size     int
		fate     Fate
		why      hook.Reason
		out      string // devices that packets left by
	}{
		{"a packet for another network is forwarded", "lan0", "192.0.2.2", "203.0.113.9", 64, 10, Forwarded, 0, "wan0"},
		{"IPv6 takes the same way", "lan0", "2001:db8:1::2", "2001:db8:2::9", 64, 10, Forwarded, 0, "wan0"},
		{"TTL 1 ends here and the sender is told", "lan0", "192.0.2.2", "203.0.113.9", 1, 10, Dropped, hook.ReasonTTL, "lan0"},
		{"hop limit 1 ends here and the sender is told", "lan0", "2001:db8:1::2", "2001:db8:2::9", 1, 10, Dropped, hook.ReasonTTL, "lan0"},
		{"a closed port is refused", "lan0", "192.0.2.2", "192.0.2.1", 64, 10, Delivered, 0, "lan0"},
		{"a closed port is refused over IPv6", "lan0", "2001:db8:1::2", "2001:db8:1::1", 64, 10, Delivered, 0, "lan0"},
		{"our own address as source is a martian", "lan0", "192.0.2.1", "203.0.113.9", 64, 10, Dropped, hook.ReasonMartian, ""},
		{"loopback as source is a martian", "lan0", "127.0.0.1", "203.0.113.9", 64, 10, Dropped, hook.ReasonMartian, ""},
		{"IPv6 loopback as source is a martian", "lan0", "::1", "2001:db8:2::9", 64, 10, Dropped, hook.ReasonMartian, ""},
		{"an IPv6 group cannot send", "lan0", "ff02::1", "2001:db8:2::9", 64, 10, Dropped, hook.ReasonMartian, ""},
		{"a broadcast is delivered and not refused", "lan0", "192.0.2.2", "192.0.2.255", 64, 10, Delivered, 0, ""},
		{"a group that nobody joined", "lan0", "192.0.2.2", "239.1.1.1", 64, 10, Dropped, hook.ReasonBroadcast, ""},
		{"an IPv6 group that nobody joined", "lan0", "2001:db8:1::2", "ff0e::1", 64, 10, Dropped, hook.ReasonBroadcast, ""},
		{"an unreachable route answers", "lan0", "192.0.2.2", "10.67.0.1", 64, 10, Dropped, hook.ReasonProhibited, "lan0"},
		{"a blackhole is silent", "lan0", "192.0.2.2", "10.66.0.1", 64, 10, Dropped, hook.ReasonProhibited, ""},
		{"a throw route leads to no route", "lan0", "192.0.2.2", "10.69.0.1", 64, 10, Dropped, hook.ReasonNoRoute, "lan0"},
		{"IPv4 without DF is cut", "lan0", "192.0.2.2", "203.0.113.9", 64, 1400, Forwarded, 0, "wan0 wan0"},
		{"IPv6 is not cut", "lan0", "2001:db8:1::2", "2001:db8:2::9", 64, 1400, Dropped, hook.ReasonTooBig, "lan0"},
		{"a route's own MTU counts", "lan0", "192.0.2.2", "10.10.0.1", 64, 1000, Forwarded, 0, "nar0 nar0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t, nil, nil)
			f, out := m.inject(c.in, udp(c.src, c.dst, c.ttl, c.size))
			var devs []string
			for _, o := range out {
				devs = append(devs, strings.Fields(o)[0])
			}
			if f != c.fate || m.last.Why != c.why || strings.Join(devs, " ") != c.out {
				t.Errorf("got fate %d, why %q, out %q; want %d, %q, %q", f, m.last.Why, devs, c.fate, c.why, c.out)
			}
		})
	}
}

// TestSend carries packets of the machine itself.
func TestSend(t *testing.T) {
	for _, c := range []struct {
		name     string
		src, dst string
		fate     Fate
		why      hook.Reason
		walk     string
	}{
		{"to another network", "192.0.2.1", "203.0.113.9", Sent, 0, "OUTPUT>wan0 POSTROUTING>wan0"},
		{"to another network over IPv6", "2001:db8:1::1", "2001:db8:2::9", Sent, 0, "OUTPUT>wan0 POSTROUTING>wan0"},
		{"to itself through lo, and the refusal back", "192.0.2.1", "203.0.113.2", Delivered, 0,
			"OUTPUT>lo POSTROUTING>lo PREROUTING<lo INPUT<lo OUTPUT>lo POSTROUTING>lo PREROUTING<lo INPUT<lo"},
		{"to itself over IPv6", "2001:db8:1::1", "2001:db8:2::2", Delivered, 0,
			"OUTPUT>lo POSTROUTING>lo PREROUTING<lo INPUT<lo OUTPUT>lo POSTROUTING>lo PREROUTING<lo INPUT<lo"},
		{"to a prohibited network", "192.0.2.1", "10.68.0.1", Dropped, hook.ReasonProhibited, ""},
		{"a broadcast comes back on its interface", "192.0.2.1", "192.0.2.255", Sent, 0,
			"OUTPUT>lan0 POSTROUTING>lan0 PREROUTING<lan0 INPUT<lan0 POSTROUTING>lan0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var walk []string
			note := func(t *hook.Traversal) hook.Verdict {
				s := t.Point.String()
				if t.In != nil {
					s += "<" + t.In.Name
				}
				if t.Out != nil {
					s += ">" + t.Out.Name
				}
				walk = append(walk, s)
				return hook.Accept
			}
			m := newModel(t, nil, func(*model) (es []hook.Entry) {
				for p := hook.Prerouting; p < hook.NumPoints; p++ {
					es = append(es, hook.Entry{At: p, Fn: note})
				}
				return es
			})
			var pk packet.Packet
			if err := packet.Parse(udp(c.src, c.dst, 64, 4), &pk); err != nil {
				t.Fatal(err)
			}
			m.r.Tick(m.now)
			tr := hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now}
			f := m.r.Send(&tr)
			if got := strings.Join(walk, " "); f != c.fate || tr.Why != c.why || got != c.walk {
				t.Errorf("got fate %d, why %q, walk %s\nwant %d, %q, %s", f, tr.Why, got, c.fate, c.why, c.walk)
			}
		})
	}
}

func TestRerouteKeepsTheInterfaceUntilPostrouting(t *testing.T) {
	var seen []string
	m := newModel(t, nil, func(m *model) []hook.Entry {
		return []hook.Entry{
			{At: hook.Output, Pri: hook.PriMangle, Fn: func(t *hook.Traversal) hook.Verdict {
				t.Pkt.SetDst(packet.Addr{198, 51, 100, 9})
				return m.r.Reroute(t)
			}},
			{At: hook.Output, Pri: hook.PriFilter, Fn: func(t *hook.Traversal) hook.Verdict {
				seen = append(seen, t.Out.Name)
				return hook.Accept
			}},
			{At: hook.Postrouting, Fn: func(t *hook.Traversal) hook.Verdict {
				seen = append(seen, t.Out.Name)
				return hook.Accept
			}},
		}
	})
	var pk packet.Packet
	if err := packet.Parse(udp("192.0.2.1", "203.0.113.9", 64, 4), &pk); err != nil {
		t.Fatal(err)
	}
	tr := hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now}
	if f := m.r.Send(&tr); f != Sent || strings.Join(seen, " ") != "wan0 nar0" {
		t.Errorf("fate %d, seen %q", f, seen)
	}
}

func TestReassemblyGivesUpAndTells(t *testing.T) {
	for _, c := range []struct {
		name     string
		src, dst string
		after    int64
		out      int
	}{
		{"IPv4 to this machine", "192.0.2.2", "192.0.2.1", 30e9, 1},
		{"IPv4 a moment before", "192.0.2.2", "192.0.2.1", 30e9 - 1, 0},
		{"IPv4 on its way through", "192.0.2.2", "203.0.113.9", 30e9, 0},
		{"IPv6 on its way through", "2001:db8:1::2", "2001:db8:2::9", 60e9, 1},
		{"IPv6 a moment before", "2001:db8:1::2", "2001:db8:2::9", 60e9 - 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t, nil, defragHooks)
			d := udp(c.src, c.dst, 64, 100)
			if d[0]>>4 == 4 {
				d[6] = 0x20
				d = d[:20+64]
			} else {
				d = append(d[:40], append([]byte{packet.UDP, 0, 0, 1, 0, 0, 0, 9}, d[40:40+64]...)...)
				d[6] = packet.Fragment
			}
			if d[0]>>4 == 4 {
				binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
				binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:20]))
			} else {
				binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40))
			}
			if f, _ := m.inject("lan0", d); f != Held {
				t.Fatalf("fate %d (%s), want held", f, m.last.Why)
			}
			m.sink.out = nil
			m.r.Tick(m.now + c.after)
			if len(m.sink.out) != c.out {
				t.Errorf("out %q, want %d", m.sink.out, c.out)
			}
		})
	}
}

func TestICMPRateLimit(t *testing.T) {
	m := newModel(t, map[string]string{"net.ipv4.icmp_ratelimit": "1000"}, nil)
	sent := 0
	for range 20 {
		_, out := m.inject("lan0", udp("192.0.2.2", "203.0.113.9", 1, 4))
		sent += len(out)
	}
	if sent != 6 {
		t.Errorf("%d errors at once, want the burst of 6", sent)
	}
	m.now += 1e9
	if _, out := m.inject("lan0", udp("192.0.2.2", "203.0.113.9", 1, 4)); len(out) != 1 {
		t.Error("no error after a second")
	}
}

func TestRedirectsAreSpacedOut(t *testing.T) {
	m := newModel(t, map[string]string{"net.ipv4.conf.all.send_redirects": "1"}, nil)
	for i, c := range []struct {
		after int64
		out   int
	}{{0, 2}, {10e6, 1}, {41e6, 2}, {41e6, 1}, {82e6, 2}} {
		m.now += c.after
		if _, out := m.inject("lan0", udp("192.0.2.2", "10.9.1.1", 64, 4)); len(out) != c.out {
			t.Errorf("packet %d: %d packets out, want %d", i, len(out), c.out)
		}
	}
}

func TestTraceTellsTheWay(t *testing.T) {
	m := newModel(t, nil, nil)
	var pk packet.Packet
	if err := packet.Parse(udp("192.0.2.2", "8.8.8.8", 64, 4), &pk); err != nil {
		t.Fatal(err)
	}
	rec := &trace.Recorder{}
	tr := hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now, In: m.ifs.Name("lan0"), Trace: rec}
	m.r.Receive(&tr)
	if len(rec.Steps) != 1 || rec.Steps[0].Kind != trace.KindRoute || rec.Steps[0].Text != "203.0.113.1 by wan0" {
		t.Errorf("steps %+v", rec.Steps)
	}
}

type discard struct{ n int }

func (d *discard) Transmit(*iface.Iface, *packet.Packet, *hook.Traversal) { d.n++ }

// steady prepares a router whose output is thrown away.
func steady(t testing.TB) (*model, *discard) {
	m := newModel(t, nil, nil)
	d := &discard{}
	m.r.sink = d
	return m, d
}

func TestForwardingAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		name     string
		src, dst string
		size     int
		ttl      uint8
	}{
		{"IPv4", "192.0.2.2", "203.0.113.9", 10, 64},
		{"IPv6", "2001:db8:1::2", "2001:db8:2::9", 10, 64},
		{"IPv4 cut in two", "192.0.2.2", "203.0.113.9", 1400, 64},
		{"IPv4 that is refused", "192.0.2.2", "203.0.113.9", 10, 1},
		{"IPv6 that is refused", "2001:db8:1::2", "2001:db8:1::1", 10, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d := steady(t)
			data := udp(c.src, c.dst, c.ttl, c.size)
			buf := make([]byte, len(data))
			var pk packet.Packet
			var tr hook.Traversal
			in := m.ifs.Name("lan0")
			got := testing.AllocsPerRun(100, func() {
				copy(buf, data)
				m.r.Tick(m.now)
				packet.Parse(buf, &pk)
				tr = hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now, In: in}
				m.r.Receive(&tr)
			})
			if got != 0 || d.n == 0 {
				t.Errorf("%v allocations, %d packets out", got, d.n)
			}
		})
	}
}

func BenchmarkForward(b *testing.B) {
	for _, c := range []struct{ name, src, dst string }{
		{"IPv4", "192.0.2.2", "203.0.113.9"}, {"IPv6", "2001:db8:1::2", "2001:db8:2::9"},
	} {
		b.Run(c.name, func(b *testing.B) {
			m, _ := steady(b)
			data := udp(c.src, c.dst, 64, 18)
			buf := make([]byte, len(data))
			var pk packet.Packet
			var tr hook.Traversal
			in := m.ifs.Name("lan0")
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, data)
				m.r.Tick(m.now)
				packet.Parse(buf, &pk)
				tr = hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now, In: in}
				m.r.Receive(&tr)
			}
		})
	}
}

// FuzzReceive: no packets, one after the other, make the router panic, and no
// drop is without a reason. The input is packets with their lengths before
// them.
func FuzzReceive(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	join := func(list ...[]byte) (b []byte) {
		for _, d := range list {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(d))), d...)
		}
		return b
	}
	for range 20 {
		f.Add(join(randomV4(r), randomV4(r)), uint8(0))
		f.Add(join(randomV6(r)), uint8(1))
		f.Add(join(randomFragments(r, 7)...), uint8(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		sysctl := map[string]string{}
		var hooks func(*model) []hook.Entry
		if how&4 != 0 {
			sysctl["net.ipv4.conf.all.accept_source_route"] = "1"
			sysctl["net.ipv4.icmp_echo_ignore_broadcasts"] = "0"
		}
		if how&8 != 0 {
			hooks = defragHooks
		}
		m := newModel(t, sysctl, hooks)
		dev := testDevs[int(how&3)%len(testDevs)].name
		for len(data) > 2 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			d := append([]byte(nil), data[2:2+n]...)
			data = data[2+n:]
			// Headers whose checksum is wrong would stop at the door.
			if len(d) >= 20 && d[0]>>4 == 4 && int(d[0]&15)*4 <= len(d) && d[0]&15 >= 5 {
				binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:int(d[0]&15)*4]))
			}
			m.now += 1e6
			if f, _ := m.inject(dev, d); f == Dropped && m.last.Why == hook.NoReason {
				t.Fatalf("dropped without a reason: %x", d)
			}
			var pk packet.Packet
			if packet.Parse(d, &pk) == nil {
				tr := hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now}
				if m.r.Send(&tr) == Dropped && tr.Why == hook.NoReason {
					t.Fatalf("sent packet dropped without a reason: %x", d)
				}
			}
		}
		m.r.Tick(m.now + 100e9)
	})
}

package conntrack

import (
	"testing"

	"weir/packet"
)

// expecting is a table with a helper of two classes, and connections that have
// it.
type expecting struct {
	t      *testing.T
	tb     *Table
	now    int64
	events []string
}

func newExpecting(t *testing.T, max int) *expecting {
	cfg := DefaultConfig()
	if max > 0 {
		cfg.ExpectMax = max
	}
	x := &expecting{t: t, tb: New(cfg), now: 1_767_225_600 * second}
	x.tb.SetHelpers([]Helper{{Name: "test", Family: packet.IPv4, Proto: packet.UDP, Classes: []ExpectPolicy{
		{Max: 2, Timeout: 10 * second}, {Max: 0, Timeout: 20 * second},
	}}})
	x.tb.OnExpect(func(e ExpectEvent) {
		x.events = append(x.events, e.Kind.String()+" "+string(rune('A'+e.Expect.Tuple.DstL4-1000)))
	})
	return x
}

// packet tracks a datagram between hosts 192.0.2.N and confirms it.
func (x *expecting) packet(src, dst byte, sport, dport uint16, tmpl *Template) *Conn {
	b := make([]byte, 28)
	b[0], b[8], b[9], b[3] = 0x45, 64, packet.UDP, 28
	copy(b[12:], []byte{192, 0, 2, src, 192, 0, 2, dst})
	b[20], b[21], b[22], b[23], b[25] = byte(sport>>8), byte(sport), byte(dport>>8), byte(dport), 8
	sum := packet.IPv4HeaderChecksum(b[:20])
	b[10], b[11] = byte(sum>>8), byte(sum)
	p := &packet.Packet{}
	if err := packet.Parse(b, p); err != nil {
		x.t.Fatal(err)
	}
	var ref Ref
	x.tb.Tick(x.now)
	if !x.tb.Track(p, tmpl, &ref, 0, true, x.now).OK || ref.Conn == nil {
		x.t.Fatal("not tracked")
	}
	x.tb.Confirm(&ref, p, x.now)
	return ref.Conn
}

// master is a connection with the helper.
func (x *expecting) master(port uint16) *Conn {
	return x.packet(1, 2, port, 53, &Template{HelperID: 1})
}

// expect enters an expectation to 192.0.2.1 and a port, from 192.0.2.2 or from
// anywhere.
func (x *expecting) expect(m *Conn, class uint8, port uint16, anywhere, anyMaster bool, flags ExpectFlags) ExpectResult {
	e := Expect{Master: m.ID(), Class: class, Flags: flags}
	e.Tuple = Tuple{L3: packet.IPv4, Proto: packet.UDP, Dst: packet.Addr{192, 0, 2, 1}, DstL4: port}
	if !anywhere {
		e.Tuple.Src, e.SrcMask = packet.Addr{192, 0, 2, 2}, packet.Addr{255, 255, 255, 255}
	}
	_, res := x.tb.Expect(&e, anyMaster, x.now)
	return res
}

func (x *expecting) wants(events ...string) {
	x.t.Helper()
	if len(events) != len(x.events) {
		x.t.Fatalf("events %q, want %q", x.events, events)
	}
	for i := range events {
		if events[i] != x.events[i] {
			x.t.Fatalf("events %q, want %q", x.events, events)
		}
	}
	x.events = nil
}

func TestExpectationIsMetOnce(t *testing.T) {
	x := newExpecting(t, 0)
	m := x.master(5000)
	m.Mark = 0x42
	x.expect(m, 0, 1000, false, false, 0)
	if c := x.packet(3, 1, 7, 1000, nil); c.Has(Expected) {
		t.Error("met from another address")
	}
	c := x.packet(2, 1, 7, 1000, nil)
	if !c.Has(Expected) || x.tb.Master(c) != m.ID() || c.Mark != 0x42 {
		t.Errorf("status %x master %x mark %x", c.Status, x.tb.Master(c), c.Mark)
	}
	if e := x.tb.Met(); e == nil || e.Tuple.DstL4 != 1000 || x.tb.Met() != nil {
		t.Error("the expectation that was met is told once")
	}
	if c := x.packet(2, 1, 8, 1000, nil); c.Has(Expected) {
		t.Error("met twice")
	}
	x.wants("NEW A", "DESTROY A")
	if s := x.tb.Stats(); s.ExpectNew != 1 || s.ExpectCreate != 1 || s.ExpectDelete != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPermanentAndInactiveExpectations(t *testing.T) {
	x := newExpecting(t, 0)
	m := x.master(5000)
	x.expect(m, 0, 1000, true, false, ExpectPermanent|ExpectInactive)
	if c := x.packet(3, 1, 7, 1000, nil); c.Has(Expected) {
		t.Error("an inactive one was met")
	}
	x.tb.ExpectedBy(m, func(e *Expect) bool { e.Flags &^= ExpectInactive; return true })
	for port := uint16(8); port < 10; port++ {
		if c := x.packet(3, 1, port, 1000, nil); !c.Has(Expected) {
			t.Error("a permanent one was not met")
		}
	}
	x.wants("NEW A")
}

func TestEqualExpectationIsReplaced(t *testing.T) {
	x := newExpecting(t, 0)
	m, other := x.master(5000), x.master(5001)
	for _, s := range []struct {
		name      string
		m         *Conn
		class     uint8
		anywhere  bool
		anyMaster bool
		want      ExpectResult
		events    []string
	}{
		{"first", m, 0, false, false, ExpectOK, []string{"NEW A"}},
		{"the same again", m, 0, false, false, ExpectOK, []string{"DESTROY A", "NEW A"}},
		{"the same of another class", m, 1, false, false, ExpectAlready, nil},
		{"another mask that overlaps", m, 0, true, false, ExpectBusy, nil},
		{"the same of another master", other, 0, false, false, ExpectBusy, nil},
		{"the same of another master, where any counts", other, 0, false, true, ExpectAlready, nil},
	} {
		if got := x.expect(s.m, s.class, 1000, s.anywhere, s.anyMaster, 0); got != s.want {
			t.Errorf("%s: %d, want %d", s.name, got, s.want)
		}
		x.wants(s.events...)
	}
}

func TestOldestExpectationMakesRoom(t *testing.T) {
	x := newExpecting(t, 6)
	m := x.master(5000)
	for port := uint16(1000); port < 1003; port++ {
		x.expect(m, 0, port, false, false, 0)
	}
	x.wants("NEW A", "NEW B", "DESTROY A", "NEW C")
	for port := uint16(1003); port < 1007; port++ {
		if res := x.expect(m, 1, port, false, false, 0); res != ExpectOK {
			t.Errorf("port %d: %d", port, res)
		}
	}
	if res := x.expect(m, 1, 1007, false, false, 0); res != ExpectFull {
		t.Errorf("beyond nf_conntrack_expect_max: %d", res)
	}
	if x.tb.Expects() != 6 {
		t.Errorf("%d expectations", x.tb.Expects())
	}
}

func TestExpectationsEnd(t *testing.T) {
	x := newExpecting(t, 0)
	m := x.master(5000)
	x.expect(m, 0, 1000, false, false, 0)
	x.expect(m, 1, 1001, false, false, 0)
	x.now += 10*second - 1
	x.tb.Tick(x.now)
	x.wants("NEW A", "NEW B")
	x.now++
	x.tb.Tick(x.now)
	x.wants("DESTROY A")
	x.tb.Kill(m, x.now)
	x.wants("DESTROY B")
	plain := x.packet(1, 2, 6000, 53, nil)
	if res := x.expect(plain, 0, 1002, false, false, 0); res != ExpectNoHelp {
		t.Errorf("a connection without a helper: %d", res)
	}
}

func TestExpectationsReuseTheirSlots(t *testing.T) {
	x := newExpecting(t, 0)
	for i := range 5000 {
		m := x.master(uint16(5000 + i))
		for port := uint16(1000); port < 1004; port++ {
			x.expect(m, 0, port, false, false, 0)
		}
		x.tb.Kill(m, x.now)
		x.tb.Reap()
		x.events = nil
	}
	if n := len(x.tb.expects.chunks); n != 1 {
		t.Errorf("%d chunks of expectations for four at a time", n)
	}
	if n := len(x.tb.exts.chunks); n != 1 {
		t.Errorf("%d chunks of extensions for one at a time", n)
	}
	if x.tb.Len() != 0 || x.tb.Expects() != 0 {
		t.Errorf("%d connections, %d expectations are left", x.tb.Len(), x.tb.Expects())
	}
}

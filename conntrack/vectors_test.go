package conntrack

import (
	"encoding/binary"
	"testing"

	"weir/packet"
)

func TestUDPValidity(t *testing.T) {
	raw := func(n int, length uint16, sum uint16) *packet.Packet {
		b := make([]byte, n)
		full := make([]byte, 8)
		binary.BigEndian.PutUint16(full, 4000)
		binary.BigEndian.PutUint16(full[2:], 53)
		binary.BigEndian.PutUint16(full[4:], length)
		copy(b, full)
		p := ip(t, client4, server4, packet.UDP, b)
		if n >= 8 && sum != 1 {
			binary.BigEndian.PutUint16(p.Data[p.L4+6:], sum)
		}
		return p
	}
	const fixed = 1
	for _, c := range []struct {
		name   string
		p      *packet.Packet
		class  string
		why    string
		ignore bool // the checksum is not verified
	}{
		{"a good datagram", raw(12, 12, fixed), "NEW", "", false},
		{"no checksum", raw(12, 12, 0), "NEW", "", false},
		{"a wrong checksum", raw(12, 12, 0xbad), "INVALID", "bad checksum", false},
		{"a wrong checksum that nobody verifies", raw(12, 12, 0xbad), "NEW", "", true},
		{"length 7", raw(12, 7, 0), "INVALID", "truncated/malformed packet", false},
		{"length behind the end", raw(12, 13, 0), "INVALID", "truncated/malformed packet", false},
		{"bytes behind the length", raw(12, 8, 0), "NEW", "", false},
		{"4 bytes", raw(4, 0, 0), "INVALID", "short packet", false},
		{"2 bytes", raw(2, 0, 0), "INVALID", "too short for a tuple", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, func(cfg *Config) { cfg.Checksum = !c.ignore })
			var ref Ref
			b.tb.Track(c.p, nil, &ref, 0, true, b.now)
			if got := ref.State().String(); got != c.class || b.tb.Why() != c.why {
				t.Errorf("%s %q, want %s %q", got, b.tb.Why(), c.class, c.why)
			}
			want := Stats{}
			if c.class == "INVALID" {
				want.Invalid = 1
			}
			if b.tb.Stats() != want {
				t.Errorf("stats %+v", b.tb.Stats())
			}
		})
	}
}

func TestICMPQueries(t *testing.T) {
	for _, c := range []struct {
		name     string
		src, dst string
		typ      uint8
		class    string
		answer   uint8
		errors   uint64
	}{
		{"echo", client4, server4, 8, "NEW", 0, 0},
		{"time stamp", client4, server4, 13, "NEW", 14, 0},
		{"information", client4, server4, 15, "NEW", 16, 0},
		{"address mask", client4, server4, 17, "NEW", 18, 0},
		{"an answer nobody asked for", client4, server4, 0, "INVALID", 0, 0},
		{"a time stamp nobody asked for", client4, server4, 14, "INVALID", 0, 0},
		{"router advertisement", client4, server4, 9, "INVALID", 0, 0},
		{"router solicitation", client4, server4, 10, "INVALID", 0, 0},
		{"type 40", client4, server4, 40, "INVALID", 0, 1},
		{"a redirect that quotes nothing", client4, server4, 5, "INVALID", 0, 1},
		{"echo, v6", client6, server6, 128, "NEW", 129, 0},
		{"node information, v6", client6, server6, 139, "NEW", 140, 0},
		{"an answer nobody asked for, v6", client6, server6, 129, "INVALID", 0, 0},
		{"neighbour solicitation", client6, server6, 135, "UNTRACKED", 0, 0},
		{"router advertisement, v6", client6, server6, 134, "UNTRACKED", 0, 0},
		{"MLDv2 report", client6, server6, 143, "UNTRACKED", 0, 0},
		{"type 200, v6", client6, server6, 200, "INVALID", 0, 0},
		{"an error that quotes nothing, v6", client6, server6, 1, "INVALID", 0, 1},
		{"an unknown error type, v6", client6, server6, 99, "INVALID", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, nil)
			got := b.pass(icmp(t, c.src, c.dst, c.typ, 0, 77<<16, nil))
			if got != c.class || b.tb.Stats().Error != c.errors {
				t.Fatalf("%s, stats %+v", got, b.tb.Stats())
			}
			if c.class == "INVALID" && b.tb.Stats().Invalid != 1-c.errors {
				t.Errorf("stats %+v", b.tb.Stats())
			}
			if c.class != "NEW" {
				return
			}
			r := &b.only().Tuple[Reply]
			if r.ICMPType() != c.answer || r.SrcL4 != 77 || b.only().Expires(b.now) != 30*second {
				t.Errorf("reply %+v", r)
			}
			if got := b.pass(icmp(t, c.dst, c.src, c.answer, 0, 77<<16, nil)); got != "ESTABLISHED" {
				t.Errorf("answer is %s", got)
			}
			if got := b.pass(icmp(t, c.dst, c.src, c.answer, 1, 77<<16, nil)); got != "INVALID" {
				t.Errorf("answer with another code is %s", got)
			}
		})
	}
}

func TestICMPErrors(t *testing.T) {
	quoteUDP := udp(t, client4, server4, 4000, 53, 1).Data
	for _, c := range []struct {
		name     string
		src, dst string
		quote    []byte
		class    string
		why      string
	}{
		{"unreachable from a router", "203.0.113.9", client4, quoteUDP[:28], "RELATED", ""},
		{"quotes ports only", "203.0.113.9", client4, quoteUDP[:24], "RELATED", ""},
		{"quotes two bytes of ports", "203.0.113.9", client4, quoteUDP[:22], "INVALID", "quoted packet is too short"},
		{"quotes half a header", "203.0.113.9", client4, quoteUDP[:10], "INVALID", "quoted packet is too short"},
		{"for somebody else", "203.0.113.9", "192.0.2.99", quoteUDP[:28], "INVALID", "outer daddr 192.0.2.99 != inner 192.0.2.1"},
		{"about an unknown flow", "203.0.113.9", client4, udp(t, client4, server4, 4001, 53, 1).Data, "INVALID", "error about an unknown connection"},
		{"from the client about the answer", client4, server4, udp(t, server4, client4, 53, 4000, 1).Data, "RELATED", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, func(cfg *Config) { cfg.Acct = true })
			b.pass(udp(t, client4, server4, 4000, 53, 1))
			b.sleep(5 * second)
			var ref Ref
			p := icmp(t, c.src, c.dst, 3, 3, 0, c.quote)
			b.tb.Track(p, nil, &ref, 0, true, b.now)
			if ref.State().String() != c.class || b.tb.Why() != c.why {
				t.Fatalf("%s %q, want %s %q", ref.State(), b.tb.Why(), c.class, c.why)
			}
			if c.class == "INVALID" && b.tb.Stats() != (Stats{Error: 1}) {
				t.Errorf("stats %+v", b.tb.Stats())
			}
			if c.class == "RELATED" && ref.Info.Dir() == Reply != (c.dst == client4) {
				t.Errorf("direction %d", ref.Info.Dir())
			}
			if o := b.only(); o.Expires(b.now) != 25*second || b.tb.Counters(o)[0].Packets != 1 || b.tb.Counters(o)[1].Packets != 0 {
				t.Errorf("an error renewed or counted")
			}
		})
	}
}

func TestICMPWithAWrongChecksumIsAnError(t *testing.T) {
	b := newBox(t, nil)
	p := icmp(t, client4, server4, 8, 0, 1, nil)
	p.Data[p.L4+2]++
	if got := b.pass(p); got != "INVALID" || b.tb.Stats() != (Stats{Error: 1}) {
		t.Errorf("%s %+v", got, b.tb.Stats())
	}
}

func TestICMPOfTheOtherFamily(t *testing.T) {
	b := newBox(t, nil)
	echo := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	if got := b.pass(ip(t, client6, server6, packet.ICMP, echo)); got != "INVALID" || b.tb.Stats().Invalid != 1 {
		t.Errorf("ICMP in IPv6: %s %+v", got, b.tb.Stats())
	}
	echo[0] = 128
	if got := b.pass(ip(t, client4, server4, packet.ICMPv6, echo)); got != "INVALID" || b.tb.Stats().Invalid != 2 {
		t.Errorf("ICMPv6 in IPv4: %s %+v", got, b.tb.Stats())
	}
}

func TestGenericProtocols(t *testing.T) {
	for _, proto := range []uint8{packet.ESP, 253, 4, 41, 2, 103, packet.DCCP} {
		b := newBox(t, nil)
		if got := b.pass(ip(t, client4, server4, proto, make([]byte, 12))); got != "NEW" || b.only().Expires(b.now) != 600*second {
			t.Errorf("protocol %d: %s", proto, got)
		}
		if got := b.pass(ip(t, server4, client4, proto, nil)); got != "ESTABLISHED" || b.only().Has(Assured) {
			t.Errorf("protocol %d: answer %s", proto, got)
		}
	}
}

func TestGRE(t *testing.T) {
	b := newBox(t, nil)
	if got := b.pass(ip(t, client4, server4, packet.GRE, []byte{0, 0, 8, 0, 1})); got != "NEW" {
		t.Errorf("version 0: %s", got)
	}
	if o := b.only(); o.Tuple[0].SrcL4 != 0 || o.Tuple[0].DstL4 != 0 || o.Expires(b.now) != 30*second {
		t.Errorf("version 0: %+v", o.Tuple[0])
	}
	b.pass(ip(t, server4, client4, packet.GRE, []byte{0, 0, 8, 0, 1}))
	b.pass(ip(t, client4, server4, packet.GRE, []byte{0, 0, 8, 0, 1}))
	if o := b.only(); !o.Has(Assured) || o.Expires(b.now) != 180*second {
		t.Errorf("answered: %d s, %#x", o.Expires(b.now)/second, o.Status)
	}
	call := func(id byte) []byte { return []byte{0x20, 1, 0x88, 0x0b, 0, 4, 0x12, id} }
	b = newBox(t, nil)
	b.pass(ip(t, client4, server4, packet.GRE, call(0x34)))
	if o := b.only(); o.Tuple[0].SrcL4 != 0 || o.Tuple[0].DstL4 != 0x1234 {
		t.Errorf("version 1: %+v", o.Tuple[0])
	}
	if got := b.pass(ip(t, server4, client4, packet.GRE, call(0x35))); got != "NEW" {
		t.Errorf("other call: %s", got)
	}
	wrong := call(0x34)
	wrong[2] = 8
	if got := b.pass(ip(t, client4, server4, packet.GRE, wrong)); got != "INVALID" || b.tb.Stats().Invalid != 1 {
		t.Errorf("version 1 without PPP: %s", got)
	}
}

func TestUDPLiteIsAStreamAtOnce(t *testing.T) {
	b := newBox(t, nil)
	datagram := func(cov uint16) []byte {
		d := make([]byte, 12)
		binary.BigEndian.PutUint16(d, 1)
		binary.BigEndian.PutUint16(d[2:], 2)
		binary.BigEndian.PutUint16(d[4:], cov)
		return d
	}
	reply := datagram(0)
	reply[1], reply[3] = 2, 1
	b.pass(ip(t, client4, server4, packet.UDPLite, datagram(0)))
	b.pass(ip(t, server4, client4, packet.UDPLite, reply))
	b.pass(ip(t, client4, server4, packet.UDPLite, datagram(8)))
	if o := b.only(); !o.Has(Assured) || o.Expires(b.now) != 120*second {
		t.Errorf("%d s, %#x", o.Expires(b.now)/second, o.Status)
	}
	for _, cov := range []uint16{1, 7, 13} {
		if got := b.pass(ip(t, client4, server4, packet.UDPLite, datagram(cov))); got != "INVALID" {
			t.Errorf("coverage %d: %s", cov, got)
		}
	}
}

func TestFragmentsHaveNoPlace(t *testing.T) {
	b := newBox(t, nil)
	p := udp(t, client4, server4, 1, 2, 0)
	p.SetFrag4(1)
	p.Reparse()
	if got := b.pass(p); got != "INVALID" || b.tb.Stats() != (Stats{Invalid: 1}) {
		t.Errorf("%s %+v", got, b.tb.Stats())
	}
}

// chunk is an SCTP chunk with a body.
func chunk(typ, flags uint8, body ...byte) []byte {
	n := 4 + len(body)
	c := append([]byte{typ, flags, byte(n >> 8), byte(n)}, body...)
	for len(c)%4 != 0 {
		c = append(c, 0)
	}
	return c
}

func initChunk(typ uint8, tag byte) []byte {
	return chunk(typ, 0, 0, 0, 0, tag, 0, 0, 4, 0, 0, 1, 0, 1, 0, 0, 0, 1)
}

func sctp(t testing.TB, src, dst string, sport, dport uint16, tag byte, chunks ...[]byte) *packet.Packet {
	t.Helper()
	b := make([]byte, 12)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	b[7] = tag
	for _, c := range chunks {
		b = append(b, c...)
	}
	return ip(t, src, dst, packet.SCTP, b)
}

func TestSCTPLife(t *testing.T) {
	b := newBox(t, nil)
	const c, s = true, false
	for i, step := range []struct {
		fromClient bool
		tag        byte
		chunk      []byte
		class      string
		state      SCTPStateName
		left       int64
	}{
		{c, 0, initChunk(chunkInit, 7), "NEW", SCTPClosed, 10},
		{s, 7, initChunk(chunkInitAck, 9), "ESTABLISHED", SCTPCookieWait, 3},
		{c, 9, chunk(chunkCookieEcho, 0), "ESTABLISHED", SCTPCookieEchoed, 3},
		{s, 7, chunk(chunkCookieAck, 0), "ESTABLISHED", SCTPEstablished, 210},
		{c, 9, chunk(chunkData, 3, make([]byte, 13)...), "ESTABLISHED", SCTPEstablished, 210},
		{c, 8, chunk(chunkData, 3, make([]byte, 13)...), "INVALID", SCTPEstablished, 210},
		{s, 7, chunk(chunkHeartbeat, 0), "ESTABLISHED", SCTPEstablished, 210},
		{c, 9, chunk(chunkShutdown, 0, 0, 0, 0, 0), "ESTABLISHED", SCTPShutdownSent, 3},
		{s, 7, chunk(chunkShutdownAck, 0), "ESTABLISHED", SCTPShutdownAckSent, 3},
		{c, 9, chunk(chunkShutdownComplete, 0), "ESTABLISHED", SCTPClosed, 10},
	} {
		p := sctp(t, client4, server4, 900, 901, step.tag, step.chunk)
		if !step.fromClient {
			p = sctp(t, server4, client4, 901, 900, step.tag, step.chunk)
		}
		got := b.pass(p)
		o := b.only()
		if got != step.class || o.SCTP().State != step.state || o.Expires(b.now) != step.left*second {
			t.Fatalf("step %d: %s %s %d s", i, got, o.SCTP().State, o.Expires(b.now)/second)
		}
		if (i >= 3) != o.Has(Assured) {
			t.Errorf("step %d: status %#x", i, o.Status)
		}
	}
}

func TestSCTPBeginsWithAHeartbeat(t *testing.T) {
	b := newBox(t, nil)
	if got := b.pass(sctp(t, client4, server4, 1, 2, 5, chunk(chunkHeartbeat, 0))); got != "NEW" || b.only().SCTP().State != SCTPHeartbeatSent {
		t.Fatal(got)
	}
	if got := b.pass(sctp(t, server4, client4, 2, 1, 6, chunk(chunkHeartbeatAck, 0))); got != "ESTABLISHED" {
		t.Fatal(got)
	}
	if o := b.only(); o.SCTP().State != SCTPEstablished || !o.Has(Assured) || o.Expires(b.now) != 210*second {
		t.Errorf("%s %#x", o.SCTP().State, o.Status)
	}
}

func TestSCTPDoesNotBeginWith(t *testing.T) {
	for name, p := range map[string]*packet.Packet{
		"data":              sctp(t, client4, server4, 1, 2, 5, chunk(chunkData, 0)),
		"abort":             sctp(t, client4, server4, 1, 2, 5, chunk(chunkAbort, 0)),
		"nothing":           sctp(t, client4, server4, 1, 2, 5),
		"a chunk of length": sctp(t, client4, server4, 1, 2, 5, []byte{1, 0, 0, 0}),
		"a tagged INIT":     sctp(t, client4, server4, 1, 2, 5, initChunk(chunkInit, 7)),
		"INIT and more":     sctp(t, client4, server4, 1, 2, 0, initChunk(chunkInit, 7), chunk(chunkData, 0)),
	} {
		b := newBox(t, nil)
		if got := b.pass(p); got != "INVALID" || b.tb.Len() != 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

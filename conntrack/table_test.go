package conntrack

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"weir/packet"
)

// begin tracks a packet and leaves it unconfirmed.
func (b *box) begin(p *packet.Packet) Ref {
	b.Helper()
	var ref Ref
	if out := b.tb.Track(p, nil, &ref, 0, true, b.now); !out.OK || ref.Conn == nil {
		b.Fatalf("track: %v %v", out, b.tb.Why())
	}
	return ref
}

func TestADroppedPacketLeavesNothing(t *testing.T) {
	b := newBox(t, nil)
	ref := b.begin(udp(t, client4, server4, 1, 2, 0))
	if b.tb.Len() != 1 {
		t.Errorf("count %d before the end", b.tb.Len())
	}
	b.tb.Release(ref)
	b.tb.Reap()
	if err := b.tb.Check(); err != nil || b.tb.Len() != 0 || b.tb.Stats() != (Stats{}) {
		t.Errorf("%v, %d left, %+v", err, b.tb.Len(), b.tb.Stats())
	}
}

func TestClash(t *testing.T) {
	twice := func(t *testing.T, p *packet.Packet, change func(tb *Table, c *Conn)) (*box, Outcome, Ref, *Conn) {
		b := newBox(t, func(c *Config) { c.Acct = true })
		first, second := b.begin(p), b.begin(p)
		loser := second.Conn
		if change != nil {
			change(b.tb, loser)
		}
		if out := b.tb.Confirm(&first, p, b.now); !out.OK {
			t.Fatal("first packet refused")
		}
		out := b.tb.Confirm(&second, p, b.now)
		b.tb.Release(second)
		b.tb.Reap()
		if err := b.tb.Check(); err != nil {
			t.Fatal(err)
		}
		return b, out, second, first.Conn
	}
	t.Run("two first packets of a UDP flow are merged", func(t *testing.T) {
		b, out, ref, first := twice(t, udp(t, client4, server4, 1, 2, 0), nil)
		if !out.OK || ref.Conn != first || ref.Info != InfoNew || b.tb.Stats() != (Stats{ClashResolve: 1}) {
			t.Errorf("%v %v %+v", out, ref, b.tb.Stats())
		}
		if n := b.tb.Counters(first)[0]; n.Packets != 2 || n.Bytes != 56 {
			t.Errorf("counted %+v", n)
		}
	})
	t.Run("of TCP the second is dropped", func(t *testing.T) {
		b, out, _, _ := twice(t, tcp(t, client4, server4, 1, 2, seg{flags: "S"}), nil)
		if out != refuse(CauseClash) || b.tb.Stats() != (Stats{Drop: 1, InsertFailed: 1}) || b.tb.Len() != 1 {
			t.Errorf("%v %+v", out, b.tb.Stats())
		}
	})
	t.Run("another reply is entered for a second", func(t *testing.T) {
		b, out, ref, first := twice(t, udp(t, client4, server4, 1, 2, 0), func(tb *Table, c *Conn) {
			r := c.Tuple[Reply]
			r.DstL4 = 99
			tb.SetReply(c, r)
		})
		c := ref.Conn
		if !out.OK || c == first || !c.Has(NATClash|FixedTimeout|Confirmed) || c.Expires(b.now) != second || b.tb.Len() != 2 {
			t.Fatalf("%v %+v", out, b.tb.Stats())
		}
		b.only() // the duplicate is not listed
		if got, d := b.tb.Lookup(&c.Tuple[Reply], b.now); got != c || d != Reply {
			t.Error("its answer does not find it")
		}
		if got, _ := b.tb.Lookup(&c.Tuple[Original], b.now); got != first {
			t.Error("its packets do not find the first")
		}
		b.tb.Flush(b.now)
		b.tb.Reap()
		if err := b.tb.Check(); err != nil || b.tb.Len() != 0 {
			t.Errorf("flush left %d, %v", b.tb.Len(), err)
		}
	})
	t.Run("a flow that both sides begin is merged", func(t *testing.T) {
		b := newBox(t, nil)
		p, q := udp(t, client4, server4, 1, 2, 0), udp(t, server4, client4, 2, 1, 0)
		first, second := b.begin(p), b.begin(q)
		b.tb.Confirm(&first, p, b.now)
		if out := b.tb.Confirm(&second, q, b.now); !out.OK || second.Conn != first.Conn || b.tb.Stats().ClashResolve != 1 {
			t.Errorf("%v", out)
		}
	})
	t.Run("a reply that somebody else has cannot be resolved", func(t *testing.T) {
		b := newBox(t, nil)
		b.pass(udp(t, "192.0.2.50", server4, 5, 2, 0))
		taken := b.only().Tuple[Reply]
		p := udp(t, client4, server4, 1, 2, 0)
		ref := b.begin(p)
		b.tb.SetReply(ref.Conn, taken)
		if out := b.tb.Confirm(&ref, p, b.now); out != refuse(CauseClash) || b.tb.Stats() != (Stats{Drop: 1, InsertFailed: 1}) {
			t.Errorf("%v %+v", out, b.tb.Stats())
		}
	})
}

func TestTheAnswerToAnUnconfirmedPacketIsNotConfirmed(t *testing.T) {
	b := newBox(t, nil)
	p := udp(t, client4, server4, 1, 2, 0)
	ref := b.begin(p)
	answer := Ref{Conn: ref.Conn, Info: InfoRelatedReply}
	if out := b.tb.Confirm(&answer, p, b.now); !out.OK || ref.Conn.Has(Confirmed) {
		t.Errorf("%v %#x", out, ref.Conn.Status)
	}
}

func TestAKilledConnectionIsNotConfirmed(t *testing.T) {
	b := newBox(t, nil)
	p := udp(t, client4, server4, 1, 2, 0)
	ref := b.begin(p)
	b.tb.Kill(ref.Conn, b.now)
	if out := b.tb.Confirm(&ref, p, b.now); out != refuse(CauseDying) || b.tb.Stats() != (Stats{InsertFailed: 1}) {
		t.Errorf("%v %+v", out, b.tb.Stats())
	}
}

func TestEarlyDrop(t *testing.T) {
	fill := func(t *testing.T, buckets int) *box {
		b := newBox(t, func(c *Config) { c.Max, c.Buckets = 50, buckets })
		for i := range 50 {
			b.pass(udp(t, client4, server4, uint16(i+1), 53, 0))
		}
		return b
	}
	assureAll := func(b *box) {
		b.tb.Each(b.now, func(c *Conn) bool { c.Status |= Assured; return true })
	}
	t.Run("evicts a connection that is not assured", func(t *testing.T) {
		b := fill(t, 8)
		if got := b.pass(udp(t, client4, server4, 999, 53, 0)); got != "NEW" || b.tb.Stats().EarlyDrop == 0 {
			t.Errorf("%s %+v", got, b.tb.Stats())
		}
		if b.tb.Len() != 51-int(b.tb.Stats().EarlyDrop) {
			t.Errorf("%d left, %d evicted", b.tb.Len(), b.tb.Stats().EarlyDrop)
		}
	})
	t.Run("evicts all of one bucket", func(t *testing.T) {
		b := fill(t, 4)
		b.pass(udp(t, client4, server4, 999, 53, 0))
		if n := int(b.tb.Stats().EarlyDrop); n < 10 || n > 40 || b.tb.Len() != 51-n {
			t.Errorf("%+v, %d left", b.tb.Stats(), b.tb.Len())
		}
	})
	t.Run("spares assured connections", func(t *testing.T) {
		b := fill(t, 8)
		assureAll(b)
		got := b.pass(udp(t, client4, server4, 999, 53, 0))
		if got != "DROP table-full" || b.tb.Stats() != (Stats{Drop: 1}) || b.tb.Len() != 50 || b.tb.Why() == "" {
			t.Errorf("%s %+v", got, b.tb.Stats())
		}
	})
	t.Run("of a shared table spares who is assured, and nobody for a predecessor's sake", func(t *testing.T) {
		b := fill(t, 4)
		b.tb.Share()
		assureAll(b)
		flood := func(want string) {
			t.Helper()
			got := b.pass(udp(t, client4, server4, 999, 53, 0))
			b.tb.Reap()
			if n := b.tb.Stats().EarlyDrop; got != want || (n > 0) != (want == "NEW") {
				t.Errorf("%s, %d evicted", got, n)
			}
		}
		flood("DROP table-full")
		b.tb.Each(b.now, func(c *Conn) bool { b.tb.Kill(c, b.now); return true })
		b.tb.Reap()
		for i := range 50 {
			b.pass(udp(t, client4, server4, uint16(i+2000), 53, 0))
			b.tb.Reap()
		}
		flood("NEW")
	})
	t.Run("kills expired ones first and does not count them", func(t *testing.T) {
		b := fill(t, 4)
		b.now += 31 * second
		got := b.pass(udp(t, client4, server4, 999, 53, 0))
		if got != "DROP table-full" || b.tb.Stats().EarlyDrop != 0 || b.tb.Len() != 0 {
			t.Errorf("%s %+v %d", got, b.tb.Stats(), b.tb.Len())
		}
	})
	t.Run("looks at eight buckets only", func(t *testing.T) {
		b := fill(t, 1<<20)
		full := 0
		for i := range 200 {
			if b.pass(udp(t, client4, server4, uint16(1000+i), 53, 0)) == "DROP table-full" {
				full++
			}
		}
		if full < 150 {
			t.Errorf("%d of 200 refused", full)
		}
	})
	t.Run("no limit", func(t *testing.T) {
		b := fill(t, 8)
		b.tb.Config().Max = 0
		if got := b.pass(udp(t, client4, server4, 999, 53, 0)); got != "NEW" || b.tb.Len() != 51 {
			t.Error(got)
		}
	})
}

func TestPressureLetsTheCollectorEvict(t *testing.T) {
	b := newBox(t, func(c *Config) { c.Max, c.Buckets = 100, 1<<20 })
	b.tb.Tick(b.now)
	shake := func(port uint16) {
		b.pass(tcp(t, client4, server4, port, 80, seg{flags: "S", seq: cs - 1}))
		b.pass(tcp(t, server4, client4, 80, port, seg{flags: "SA", seq: ss - 1, ack: cs}))
		b.pass(tcp(t, client4, server4, port, 80, seg{flags: "A", seq: cs, ack: ss}))
	}
	for i := range 100 {
		shake(uint16(i + 1))
	}
	b.pass(tcp(t, client4, server4, 1, 80, seg{flags: "FA", seq: cs, ack: ss}))
	b.pass(tcp(t, client4, server4, 999, 80, seg{flags: "S"}))
	if b.tb.Stats().Drop != 1 {
		t.Fatalf("%+v", b.tb.Stats())
	}
	b.sleep(2 * second)
	b.tb.Tick(b.now)
	b.tb.Reap()
	if b.tb.Len() != 99 || b.tb.Check() != nil {
		t.Errorf("%d left: only the closing one may go", b.tb.Len())
	}
}

func TestExpiry(t *testing.T) {
	b := newBox(t, nil)
	var events []Event
	b.tb.OnEvent(func(e Event) { events = append(events, e) })
	b.tb.Tick(b.now)
	b.pass(udp(t, client4, server4, 1, 2, 0))
	id := b.only().ID()
	b.sleep(30*second - 1)
	if b.only().Expires(b.now) != 1 {
		t.Error("expired early")
	}
	b.sleep(1)
	b.tb.Each(b.now, func(*Conn) bool { t.Error("listed though over"); return true })
	if n := len(events); n != 2 || events[1].Kind != EventDestroy || events[1].Conn.ID() != id {
		t.Errorf("%d events", n)
	}
	b.tb.Reap()
	if b.tb.ByID(id) != nil {
		t.Error("its name still finds it")
	}
	b.pass(udp(t, client4, server4, 1, 2, 0))
	if c := b.only(); c.index != uint32(id) || c.ID() == id || b.tb.ByID(id) != nil {
		t.Error("the slot's next connection answers to the old name")
	}
}

func TestTheCollectorFindsWhatNobodyAsksFor(t *testing.T) {
	b := newBox(t, nil)
	destroyed := 0
	var last int64
	b.tb.OnEvent(func(e Event) {
		if e.Kind == EventDestroy {
			destroyed++
			last = e.Time
		}
	})
	b.tb.Tick(b.now)
	for i := range 100 {
		b.pass(udp(t, client4, server4, uint16(i+1), 53, 0))
	}
	start := b.now
	for range 200 {
		b.sleep(second)
		b.tb.Tick(b.now)
		b.tb.Reap()
	}
	if destroyed != 100 || b.tb.Len() != 0 || last < start+30*second || last > start+91*second {
		t.Errorf("%d destroyed, the last after %d s", destroyed, (last-start)/second)
	}
	if err := b.tb.Check(); err != nil {
		t.Error(err)
	}
}

func TestALongPauseIsCollectedAtOnce(t *testing.T) {
	for _, n := range []int{10, 20000} {
		b := newBox(t, func(c *Config) { c.Max = 0 })
		b.tb.Tick(b.now)
		for i := range n {
			ref := b.begin(udp(t, client4, server4, uint16(i), uint16(i>>16)+1, 0))
			b.tb.Confirm(&ref, nil, b.now)
		}
		b.sleep(1000 * second)
		// No call does more than its share.
		for before := b.tb.Len(); before > 0; before = b.tb.Len() {
			b.tb.Tick(b.now)
			b.tb.Reap()
			if done := before - b.tb.Len(); done == 0 || n > gcSmall && done > gcAtMost {
				t.Fatalf("a Tick collected %d of %d", done, before)
			}
		}
		if err := b.tb.Check(); err != nil || b.tb.Len() != 0 {
			t.Errorf("%d of %d left, %v", b.tb.Len(), n, err)
		}
	}
}

func TestEvents(t *testing.T) {
	type rec struct {
		kind EventKind
		mask EventMask
	}
	run := func(mode int, tmpl *Template) []rec {
		b := newBox(t, func(c *Config) { c.Events = mode })
		var got []rec
		b.tb.OnEvent(func(e Event) { got = append(got, rec{e.Kind, e.Mask}) })
		b.passRef(udp(t, client4, server4, 1, 2, 0), tmpl)
		b.pass(udp(t, server4, client4, 2, 1, 0))
		b.sleep(3 * second)
		b.pass(udp(t, client4, server4, 1, 2, 0))
		p := udp(t, client4, server4, 1, 2, 0)
		ref := b.begin(p)
		b.tb.SetMark(ref.Conn, 7)
		b.tb.SetMark(ref.Conn, 7)
		b.tb.Confirm(&ref, p, b.now)
		b.tb.Kill(ref.Conn, b.now)
		return got
	}
	all := []rec{{EventNew, EventBitNew}, {EventUpdate, EventBitReply}, {EventUpdate, EventBitAssured}, {EventUpdate, EventBitMark}, {EventDestroy, EventBitDestroy}}
	for _, c := range []struct {
		name string
		mode int
		tmpl *Template
		want []rec
	}{
		{"a listener hears all", 2, nil, all},
		{"always", 1, nil, all},
		{"off", 0, nil, nil},
		{"a template asks for the end only", 2, &Template{EventMask: EventBitDestroy}, all[4:]},
		{"a template although they are off", 0, &Template{EventMask: EventBitNew}, all[:1]},
	} {
		got := run(c.mode, c.tmpl)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", c.name, got)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: event %d is %v, want %v", c.name, i, got[i], c.want[i])
			}
		}
	}
}

func TestConnectionsFromBeforeTheListenerAreSilent(t *testing.T) {
	b := newBox(t, nil)
	b.pass(udp(t, client4, server4, 1, 2, 0))
	b.tb.OnEvent(func(Event) { t.Error("heard") })
	b.pass(udp(t, server4, client4, 2, 1, 0))
}

func TestZones(t *testing.T) {
	p := udp(t, client4, server4, 1, 2, 0)
	answer := udp(t, server4, client4, 2, 1, 0)
	b := newBox(t, nil)
	both := &Template{ZoneID: 5, ZoneDir: ZoneBoth}
	orig := &Template{ZoneID: 6, ZoneDir: ZoneOriginal}
	for i, step := range []struct {
		p    *packet.Packet
		tmpl *Template
		want string
	}{
		{p, nil, "NEW"}, {p, both, "NEW"}, {answer, both, "ESTABLISHED"}, {p, nil, "NEW"}, {answer, nil, "ESTABLISHED"}, {p, nil, "ESTABLISHED"},
	} {
		if got, _ := b.passRef(step.p, step.tmpl); got != step.want {
			t.Errorf("step %d: %s", i, got)
		}
	}
	b = newBox(t, nil)
	if got, _ := b.passRef(p, orig); got != "NEW" || b.only().Tuple[0].Zone != 6 || b.only().Tuple[1].Zone != 0 {
		t.Error("original zone")
	}
	if got := b.pass(answer); got != "ESTABLISHED" {
		t.Errorf("answer in no zone: %s", got)
	}
	var ref Ref
	b.tb.Track(p, &Template{ZoneFromMark: true, ZoneDir: ZoneBoth}, &ref, 0x10009, true, b.now)
	if ref.Conn.Tuple[0].Zone != 9 {
		t.Errorf("zone from mark: %d", ref.Conn.Tuple[0].Zone)
	}
}

func TestTimeoutPolicy(t *testing.T) {
	b := newBox(t, nil)
	b.tb.AddTimeoutPolicy(TimeoutPolicy{Name: "short", Family: packet.IPv4, Proto: packet.UDP, Values: [NumTCPTimeouts]int64{5 * second}})
	b.passRef(udp(t, client4, server4, 1, 2, 0), &Template{TimeoutPolicy: "short"})
	if got := b.only().Expires(b.now); got != 5*second {
		t.Errorf("%d s", got/second)
	}
	b.pass(udp(t, server4, client4, 2, 1, 0))
	b.sleep(3 * second)
	b.pass(udp(t, client4, server4, 1, 2, 0))
	if got := b.only().Expires(b.now); got != 120*second {
		t.Errorf("a value of 0 is the sysctl's: %d s", got/second)
	}
}

func TestRejectClosesTCP(t *testing.T) {
	b := &tcpBox{newBox(t, nil), 0}
	b.start("ESTABLISHED")
	b.tb.CloseTCP(b.only(), b.now)
	if got := b.summary(); got != "CLOSE/10 ASSURED" {
		t.Error(got)
	}
	b.sleep(second)
	b.tb.CloseTCP(b.only(), b.now)
	if got := b.summary(); got != "CLOSE/9 ASSURED" {
		t.Errorf("again: %s", got)
	}
}

func TestTaken(t *testing.T) {
	b := newBox(t, nil)
	b.pass(udp(t, client4, server4, 1, 2, 0))
	other := b.begin(udp(t, "192.0.2.50", server4, 5, 2, 0)).Conn
	same := *b.only()
	reply := same.Tuple[Reply]
	if !b.tb.Taken(reply, other, b.now) || b.tb.Stats().Found != 1 {
		t.Error("a tuple in use is free")
	}
	if b.tb.Taken(reply, &same, b.now) || b.tb.Stats().Found != 1 {
		t.Error("the same flow seen twice counts")
	}
	b.sleep(31 * second)
	if b.tb.Taken(reply, other, b.now) {
		t.Error("an expired connection counts")
	}
}

// TestRandomLives drives a table through many connections of two families
// with NAT-like replies and checks it throughout.
func TestRandomLives(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 1))
	b := newBox(t, func(c *Config) { c.Max = 3000; c.Buckets = 512; c.Acct = true; c.Timestamp = true })
	b.tb.Tick(b.now)
	model := map[Tuple]ID{} // by original tuple
	for i := range 60000 {
		b.sleep(int64(r.IntN(20)) * ms)
		b.tb.Tick(b.now)
		src, dst := "192.0.2.1", "198.51.100.7"
		if r.IntN(2) == 0 {
			src, dst = client6, server6
		}
		p := udp(t, src, dst, uint16(r.IntN(2000)), uint16(r.IntN(5)), 0)
		var ref Ref
		if out := b.tb.Track(p, nil, &ref, 0, true, b.now); out.OK && ref.Conn != nil {
			if ref.Info == InfoNew && !ref.Conn.Has(Confirmed) {
				if id, ok := model[ref.Conn.Tuple[0]]; ok && b.tb.ByID(id) != nil && b.tb.ByID(id).Status&Dying == 0 {
					t.Fatalf("seed %d step %d: a second connection for one tuple", seed, i)
				}
				if r.IntN(3) == 0 {
					reply := ref.Conn.Tuple[Reply]
					reply.DstL4 = uint16(r.IntN(65536))
					if !b.tb.Taken(reply, ref.Conn, b.now) {
						b.tb.SetReply(ref.Conn, reply)
					}
					b.tb.LinkSource(ref.Conn)
				}
			} else if id := model[ref.Conn.Tuple[0]]; id != ref.Conn.ID() {
				t.Fatalf("seed %d step %d: %x found, want %x", seed, i, ref.Conn.ID(), id)
			}
			if r.IntN(4) != 0 {
				if out := b.tb.Confirm(&ref, p, b.now); out.OK {
					model[ref.Conn.Tuple[0]] = ref.Conn.ID()
				}
			}
		}
		b.tb.Release(ref)
		b.tb.Reap()
		if i%500 == 0 {
			if err := b.tb.Check(); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, i, err)
			}
		}
	}
	if b.tb.Stats().EarlyDrop == 0 {
		t.Errorf("never full: %+v", b.tb.Stats())
	}
	b.tb.Flush(b.now)
	b.tb.Reap()
	if err := b.tb.Check(); err != nil || b.tb.Len() != 0 {
		t.Errorf("%v, %d left", err, b.tb.Len())
	}
}

func TestSourcesAreNewestFirst(t *testing.T) {
	b := newBox(t, nil)
	for i := range 300 {
		p := udp(t, client4, server4, uint16(i%3), uint16(i), 0)
		ref := b.begin(p)
		b.tb.LinkSource(ref.Conn)
		b.tb.LinkSource(ref.Conn)
		b.tb.Confirm(&ref, p, b.now)
	}
	if err := b.tb.Check(); err != nil {
		t.Fatal(err)
	}
	tuple, _ := TupleOf(udp(t, client4, server4, 1, 9, 0), 0)
	last, n := ^uint64(0), 0
	b.tb.EachSource(&tuple, 0, func(c *Conn) bool {
		if c.Seq >= last || c.Tuple[0].SrcL4 != 1 {
			t.Errorf("%d after %d", c.Seq, last)
		}
		last = c.Seq
		n++
		return true
	})
	if n != 100 {
		t.Errorf("%d connections", n)
	}
	b.tb.EachSource(&tuple, 3, func(*Conn) bool { t.Error("other zone"); return false })
}

// many fills a table with n confirmed UDP connections.
func many(t testing.TB, tb *Table, n int, link bool) {
	p := udp(t, client4, server4, 0, 53, 0)
	for i := range n {
		setFlow(p, i)
		var ref Ref
		if out := tb.Track(p, nil, &ref, 0, false, epoch); !out.OK || ref.Info != InfoNew {
			t.Fatalf("flow %d: %v", i, out)
		}
		if link {
			tb.LinkSource(ref.Conn)
		}
		tb.Confirm(&ref, p, epoch)
		tb.Reap()
	}
}

// setFlow writes a number into addresses and ports.
func setFlow(p *packet.Packet, i int) {
	p.Data[13], p.Data[14], p.Data[15] = byte(i>>24), byte(i>>16), byte(i>>8)
	p.Data[p.L4], p.Data[p.L4+1] = byte(i)^0xa5, byte(i>>8)
}

func TestBytesPerConnection(t *testing.T) {
	for _, n := range []int{100_000, 131_072, 200_000} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		cfg := DefaultConfig()
		cfg.Checksum = false
		tb := New(cfg)
		many(t, tb, n, true)
		runtime.GC()
		runtime.ReadMemStats(&after)
		taken := after.HeapAlloc - before.HeapAlloc - uint64(len(tb.regions.left)) // what was handed out, huge pages or not
		for _, m := range *tb.regions.owned {
			taken += uint64(len(m) - hugePage)
		}
		per := float64(taken) / float64(n)
		t.Logf("%d connections: %.1f bytes each", n, per)
		if per > 256 || per < 192 {
			t.Errorf("%d connections: %.1f bytes each", n, per)
		}
		runtime.KeepAlive(tb)
	}
}

func TestEstablishedPacketsDoNotAllocate(t *testing.T) {
	b := &tcpBox{newBox(t, func(c *Config) { c.Acct = true }), 0}
	b.start("100 bytes acked")
	b.pass(udp(t, client6, server6, 1, 2, 0))
	b.pass(udp(t, server6, client6, 2, 1, 0))
	packets := map[string]*packet.Packet{
		"TCP":                   tcp(t, client4, server4, 1000, 80, seg{flags: "A", seq: cs + 100, ack: ss}),
		"TCP answer":            tcp(t, server4, client4, 80, 1000, seg{flags: "A", seq: ss, ack: cs + 100}),
		"TCP let through":       tcp(t, client4, server4, 1000, 80, seg{flags: "S", seq: 1}),
		"TCP out of the window": tcp(t, client4, server4, 1000, 80, seg{flags: "A", seq: cs, ack: ss + 5000}),
		"UDP":                   udp(t, client6, server6, 1, 2, 0),
		"ICMP error":            icmp(t, "203.0.113.9", client4, 3, 3, 0, tcp(t, client4, server4, 1000, 80, seg{flags: "A"}).Data[:28]),
	}
	for name, p := range packets {
		if n := testing.AllocsPerRun(100, func() {
			var ref Ref
			b.tb.Track(p, nil, &ref, 0, true, b.now)
			b.tb.Confirm(&ref, p, b.now)
			b.tb.Release(ref)
			b.tb.Reap()
			b.tb.Tick(b.now)
			b.now += ms
		}); n != 0 {
			t.Errorf("%s allocates %.0f times", name, n)
		}
	}
}

// FuzzTrack feeds raw packets to a table; the state must stay whole.
func FuzzTrack(f *testing.F) {
	f.Add([]byte("E"), byte(0))
	f.Add(udp(f, client4, server4, 1, 2, 3).Data, byte(3))
	f.Add(tcp(f, client4, server4, 1, 2, seg{flags: "S", opts: []byte{3, 3, 7, 4, 2, 1}}).Data, byte(3))
	f.Add(icmp(f, client4, server4, 3, 0, 0, udp(f, server4, client4, 1, 2, 0).Data).Data, byte(7))
	f.Add(icmp(f, "fe80::1", server6, 137, 0, 0, make([]byte, 60)).Data, byte(7))
	f.Add(sctp(f, client4, server4, 1, 2, 0, initChunk(1, 5)).Data, byte(1))
	f.Add(ip(f, client6, server6, packet.GRE, []byte{0x20, 1, 0x88, 0x0b, 0, 0, 1, 1}).Data, byte(1))
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		cfg := DefaultConfig()
		cfg.Checksum, cfg.Max, cfg.Acct, cfg.LogInvalid = false, 3, true, 255
		tb := New(cfg)
		b := &box{t, tb, epoch}
		var p packet.Packet
		var last *packet.Packet
		for range 3 {
			d := append([]byte(nil), data...)
			if len(d) > 20 && d[0]>>4 == 4 && int(d[0]&15)*4 <= len(d) && d[0]&15 >= 5 {
				h := d[:int(d[0]&15)*4]
				sum := packet.IPv4HeaderChecksum(h)
				d[10], d[11] = byte(sum>>8), byte(sum)
			}
			if packet.Parse(d, &p) != nil {
				return
			}
			last = &p
			b.pass(last)
			if last.L4 >= 0 {
				_ = tb.Why()
			}
			// The answer: addresses and, where they are, ports swapped.
			if how&1 != 0 {
				src, dst := last.Src(), last.Dst()
				last.SetSrc(dst)
				last.SetDst(src)
				if l4 := last.Payload(); len(l4) >= 4 {
					l4[0], l4[1], l4[2], l4[3] = l4[2], l4[3], l4[0], l4[1]
				}
				b.pass(last)
			}
			if how&2 != 0 {
				b.sleep(3 * second)
			}
			if how&4 != 0 && len(data) > 30 {
				data[30] ^= how
			}
		}
	})
}

func TestAConnectionToItself(t *testing.T) {
	b := newBox(t, nil)
	p := udp(t, client4, client4, 7, 7, 0)
	if got := b.pass(p); got != "NEW" {
		t.Error(got)
	}
	if got := b.pass(p); got != "ESTABLISHED" {
		t.Errorf("second packet: %s", got)
	}
	b.tb.Flush(b.now)
	b.tb.Reap()
	if err := b.tb.Check(); err != nil {
		t.Error(err)
	}
}

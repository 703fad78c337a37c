package conntrack

import (
	"math/rand/v2"
	"testing"

	"weir/packet"
)

// TestACrowdedBucketRefuses fills few buckets: those that are full take no more,
// until there are more of them.
func TestACrowdedBucketRefuses(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Buckets, cfg.Max = 4, 0
	tb := New(cfg)
	try := func(i uint16) bool {
		p := udp(t, client4, server4, i, 53, 1)
		var ref Ref
		tb.Track(p, nil, &ref, 0, false, epoch)
		out := tb.Confirm(&ref, p, epoch)
		tb.Release(ref)
		tb.Reap()
		if !out.OK && out.Cause != CauseChainTooLong {
			t.Fatal(out.Cause)
		}
		return out.OK
	}
	entered := 0
	for i := range uint16(1000) {
		if try(i) {
			entered++
		}
	}
	// A connection has two entries; a bucket takes 50 to 79 by chance, and the
	// largest chances of so many tries fill all buckets to the brim.
	s := tb.Stats()
	if entered < 4*50/2 || entered > 4*81/2 || s.ChainTooLong != uint64(1000-entered) || s.InsertFailed != s.ChainTooLong {
		t.Errorf("%d entered, %+v", entered, s)
	}
	if err := tb.Check(); err != nil || tb.Len() != entered {
		t.Error(err, tb.Len())
	}
	if _, err := tb.Insert(&Entry{Tuple: [2]Tuple{
		{Src: addr(client4), Dst: addr(server4), SrcL4: 5, DstL4: 6, Proto: packet.TCP, L3: packet.IPv4},
		{Src: addr(server4), Dst: addr(client4), SrcL4: 6, DstL4: 5, Proto: packet.TCP, L3: packet.IPv4},
	}, Timeout: second}, epoch); err != ErrTooLong {
		t.Error("entered from outside: ", err)
	}
	tb.Reap()
	tb.Config().Buckets = 4096
	for i := range uint16(1000) {
		if !try(2000 + i) {
			t.Fatal("refused though there are buckets enough")
		}
	}
	tb.Config().Buckets = 4
	if try(5000) {
		t.Error("entered though the buckets are few again")
	}
	if err := tb.Check(); err != nil {
		t.Error(err)
	}
}

// TestWhatIsRemovedIsTold flushes and deletes by a filter: each connection and
// expectation that goes is told once, the others stay.
func TestWhatIsRemovedIsTold(t *testing.T) {
	tb := filled(t)
	told, toldExpects := map[uint64]int{}, 0
	tb.OnEvent(func(e Event) {
		if e.Kind == EventDestroy {
			told[e.Conn.Seq]++
		}
	})
	tb.OnExpect(func(e ExpectEvent) {
		if e.Kind == EventDestroy {
			toldExpects++
		}
	})
	before, expects := tb.Len(), tb.Expects()
	now := epoch + 2*second
	odd := tb.Delete(now, func(c *Conn) bool { return c.Tuple[Original].SrcL4%2 == 1 && c.Proto() == packet.UDP })
	tb.Reap()
	if odd == 0 || len(told) != odd || tb.Len() != before-odd || tb.Expects() != expects || toldExpects != 0 {
		t.Errorf("%d removed, %d told, %d of %d left", odd, len(told), tb.Len(), before)
	}
	tb.Each(now, func(c *Conn) bool {
		if told[c.Seq] != 0 || c.Tuple[Original].SrcL4%2 == 1 && c.Proto() == packet.UDP {
			t.Errorf("#%d is still there", c.Seq)
		}
		return true
	})
	if err := tb.Check(); err != nil {
		t.Fatal(err)
	}
	tb.FlushExpects(now)
	if tb.Expects() != 0 || toldExpects == 0 && expects > 0 {
		t.Errorf("%d expectations left, %d told", tb.Expects(), toldExpects)
	}
	tb.Flush(now)
	tb.Reap()
	if err := tb.Check(); err != nil || tb.Len() != 0 || len(told) != before {
		t.Errorf("%v, %d left, %d told of %d", err, tb.Len(), len(told), before)
	}
	for seq, n := range told {
		if n != 1 {
			t.Errorf("#%d was told %d times", seq, n)
		}
	}
}

// TestAnHourLeavesNothing lets flows of all kinds begin and end for an hour.
// Slots do not grow after the first minutes, and none is lost.
func TestAnHourLeavesNothing(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Acct, cfg.Timestamp, cfg.Events = true, true, 1
	cfg.TCPTimeouts[TCPEstablished] = 300 * second
	tb := New(cfg)
	tb.SetHelpers([]Helper{{Name: "ftp", Family: packet.IPv4, Proto: packet.TCP, Classes: []ExpectPolicy{{Max: 4, Timeout: 30 * second}}}})
	began, ended := 0, 0
	tb.OnEvent(func(e Event) {
		switch e.Kind {
		case EventNew:
			began++
		case EventDestroy:
			ended++
		}
	})
	r := rand.New(rand.NewPCG(8, 8))
	now := epoch
	send := func(p *packet.Packet, tmpl *Template) *Conn {
		tb.Tick(now)
		var ref Ref
		out := tb.Track(p, tmpl, &ref, 0, false, now)
		if ref.Conn != nil && out.OK {
			if ref.Conn.Status&Confirmed == 0 && r.IntN(2) == 0 {
				tb.LinkSource(ref.Conn)
			}
			if r.IntN(50) > 0 { // else a rule drops it
				tb.Confirm(&ref, p, now)
			}
		}
		tb.Release(ref)
		c := ref.Conn
		if c != nil && c.Status&(Confirmed|Dying) != Confirmed {
			c = nil
		}
		tb.Reap()
		return c
	}
	var early, late, most uint32
	const step = 50e6
	for tick := range 3600 * second / step {
		now += step
		port := 1024 + uint16(r.IntN(60000))
		switch r.IntN(6) {
		case 0, 1:
			send(udp(t, client4, server4, port, 53, 10), nil)
			send(udp(t, server4, client4, 53, port, 10), nil)
		case 2:
			send(tcp(t, client4, server4, port, 80, seg{flags: "S", seq: 1}), nil)
			send(tcp(t, server4, client4, 80, port, seg{flags: "SA", seq: 1, ack: 2}), nil)
			if c := send(tcp(t, client4, server4, port, 80, seg{flags: "A", seq: 2, ack: 2}), nil); c != nil {
				tb.SetLabel(c, uint8(r.IntN(NumLabels)))
				tb.SetSeqAdj(c, Original, 2, 4)
			}
			if r.IntN(2) == 0 {
				send(tcp(t, client4, server4, port, 80, seg{flags: "R", seq: 2}), nil)
			}
		case 3: // a helper's connection, what it expects, and what comes of that
			c := send(tcp(t, client4, server4, port, 21, seg{flags: "S", seq: 1}), &Template{HelperID: 1, Helper: "ftp"})
			if c == nil || tb.Helper(c) == 0 {
				break
			}
			for i := range uint16(1 + r.IntN(5)) {
				tb.Expect(&Expect{Master: c.ID(), Tuple: Tuple{Src: addr(server4), Dst: addr(client4), DstL4: port + i, Proto: packet.TCP, L3: packet.IPv4}, Assign: 1}, false, now)
			}
			send(tcp(t, server4, client4, 20, port, seg{flags: "S", seq: 1}), nil)
			if r.IntN(3) == 0 {
				tb.Kill(c, now)
				tb.Reap()
			}
		case 4:
			send(icmp(t, client6, server6, 128, 0, uint32(port)<<16, nil), nil)
		case 5:
			if r.IntN(100) == 0 {
				tb.Delete(now, func(c *Conn) bool { return c.Seq%7 == 0 })
				tb.Reap()
			}
		}
		most = max(most, uint32(tb.Len()))
		switch tick {
		case 1200 * second / step:
			early = tb.used
		case 3600*second/step - 1:
			late = tb.used
		}
		if tick%12000 == 0 {
			if err := tb.Check(); err != nil {
				t.Fatalf("after %d s: %v", (now-epoch)/second, err)
			}
		}
	}
	if late > early+early/4 || began < 20000 || late > 2*most {
		t.Errorf("%d slots after 20 minutes, %d after an hour; %d flows, %d at most at once", early, late, began, most)
	}
	for range 20 {
		now += 60 * second
		tb.Tick(now)
		tb.Reap()
	}
	if err := tb.Check(); err != nil || tb.Len() != 0 || tb.Expects() != 0 || began != ended {
		t.Errorf("%v: %d connections and %d expectations are left; %d began, %d ended", err, tb.Len(), tb.Expects(), began, ended)
	}
	t.Logf("%d flows, at most %d at once, %d slots, %d extensions, %d expectations", began, most, tb.used, tb.exts.used, tb.expects.used)
}

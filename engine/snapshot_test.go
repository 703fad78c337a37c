package engine

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/conntrack"
	"weir/helper"
	"weir/packet"
)

// TestASnapshotIsWrittenWhileWorkersRun writes snapshots beside workers and reads
// each into a new machine, which must be whole; when the workers have stopped,
// the snapshot and the machine are equal.
func TestASnapshotIsWrittenWhileWorkersRun(t *testing.T) {
	for name, rules := range ruleSets {
		t.Run(name, func(t *testing.T) {
			m := gateway(t, rules)
			var clock atomic.Int64
			clock.Store(1e18)
			var wg sync.WaitGroup
			var stop atomic.Bool
			var batches atomic.Int64
			ifs := m.Ifaces()
			for i := range 3 {
				w := m.Worker()
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 9))
					var results []Result
					for !stop.Load() {
						var in []Arrival
						for range 1 + r.Uint32N(40) {
							dev, d := traffic(r)
							in = append(in, Arrival{In: ifs.Name(dev), Data: d})
						}
						results = w.ReceiveBatch(in, clock.Add(int64(r.Uint32N(1e6))), results)
						batches.Add(1)
					}
				})
			}
			check := func(data []byte) *Machine {
				n := gateway(t, rules)
				if err := n.LoadSnapshot(data, nil); err != nil {
					t.Error(err)
				} else if err := n.Conntrack().Check(); err != nil {
					t.Error(err)
				}
				return n
			}
			for n := 0; n < 20 || batches.Load() < 30; n++ { // a busy computer lets the workers wait
				check(m.AppendSnapshot(nil, clock.Load()))
			}
			stop.Store(true)
			wg.Wait()
			n := check(m.AppendSnapshot(nil, clock.Load()))
			for _, x := range []*Machine{m, n} { // what ended is collected from both
				x.Do(func() { x.Conntrack().Each(clock.Load(), func(*conntrack.Conn) bool { return true }) })
			}
			if a, b := m.Conntrack(), n.Conntrack(); a.Len() != b.Len() || a.Stats() != b.Stats() || a.Len() == 0 {
				t.Errorf("%d connections, %d came back", a.Len(), b.Len())
			}
			if err := n.LoadSnapshot(nil, nil); !errors.Is(err, conntrack.ErrNotEmpty) {
				t.Error(err)
			}
		})
	}
}

// TestARecordIsWholeOrNotThere sends packets of flows of which a record can be
// known to be of one moment: the time, the packets and the bytes of each go on
// together. Others begin and end meanwhile. Every snapshot and round has each of
// the flows, as it was at one time, and no earlier than in the one before.
func TestARecordIsWholeOrNotThere(t *testing.T) {
	const flows, base, tick = 40, int64(1e18), int64(1e6)
	m := gateway(t, gatewayRules)
	tb := m.Conntrack()
	tb.Config().Acct = true
	lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
	var wg sync.WaitGroup
	var stop atomic.Bool
	var begun sync.WaitGroup
	for i := range 2 {
		w := m.Worker()
		begun.Add(1)
		wg.Go(func() {
			var results []Result
			send := func(in []Arrival) { results = w.ReceiveBatch(in, in[len(in)-1].Now, results) }
			var all [flows][]byte
			for f := range all {
				all[f] = ip4("192.0.2.20", "198.51.100.2", packet.UDP, udp(uint16(5000+f), 53, f))
			}
			one := func(f int) Arrival { return Arrival{In: lan, Data: bytes.Clone(all[f]), Now: base} }
			for f := i; f < flows; f += 2 {
				send([]Arrival{one(f), {In: wan, Data: ip4("198.51.100.2", "203.0.113.2", packet.UDP, udp(53, uint16(5000+f), f)), Now: base}})
			}
			begun.Done()
			r := rand.New(rand.NewPCG(uint64(i), 10))
			for n := int64(1); !stop.Load(); n++ {
				var in []Arrival
				for f := i; f < flows; f += 2 {
					a := one(f)
					a.Now += n * tick
					in = append(in, a)
				}
				send(in)
				if n%16 == 0 {
					dev, d := traffic(r)
					send([]Arrival{{In: m.Ifaces().Name(dev), Data: d, Now: base + n*tick}})
				}
			}
		})
	}
	begun.Wait()
	last := map[uint16]uint64{}
	look := func(tb *conntrack.Table) {
		if err := tb.Check(); err != nil {
			t.Error(err)
		}
		found := 0
		for f := range uint16(flows) {
			u := conntrack.Tuple{SrcL4: 5000 + f, DstL4: 53, Proto: packet.UDP, L3: packet.IPv4}
			u.Src, u.Dst = packet.AddrOf(netip.MustParseAddr("192.0.2.20")), packet.AddrOf(netip.MustParseAddr("198.51.100.2"))
			c, _ := tb.Lookup(&u, base)
			if c == nil {
				continue
			}
			found++
			k := tb.Counters(c)[conntrack.Original]
			at := base + int64(k.Packets-1)*tick
			if left := c.Expires(at); k.Bytes != k.Packets*uint64(28+f) || left != 30e9 && left != 120e9 || k.Packets < last[f] {
				t.Fatalf("flow %d: %d packets, %d before, %d bytes, %d ns left", f, k.Packets, last[f], k.Bytes, left)
			}
			last[f] = k.Packets
		}
		if found != flows {
			t.Fatalf("%d of %d flows", found, flows)
		}
	}
	deadline := time.Now().Add(time.Second) // or as many as are needed
	for n := 0; n < 10 || time.Now().Before(deadline) && n < 100; n++ {
		whole := gateway(t, gatewayRules)
		if err := whole.LoadSnapshot(m.AppendSnapshot(nil, base), nil); err != nil {
			t.Fatal(err)
		}
		look(whole.Conntrack())
	}
	back := gateway(t, gatewayRules)
	rounds, l := tb.Rounds(), back.Conntrack().Loading()
	for n := range 10 {
		if n == 9 {
			stop.Store(true)
			wg.Wait()
		}
		b, _ := m.AppendRound(nil, rounds, base, n == 9)
		if over, err := back.LoadRound(l, b); err != nil || over != (n == 9) {
			t.Fatal(over, err)
		}
		look(back.Conntrack())
	}
}

// BenchmarkSnapshot writes a snapshot of 200,000 connections, a tenth of which has a
// mapping and some of which expect others, and reports for how long packets that
// walk wait for a step, in µs: of a hundred steps the 50th and the 99th, and the
// longest one. A longest that is far from the 99th is the computer's doing.
func BenchmarkSnapshot(b *testing.B) {
	m := gateway(b, gatewayRules)
	tb := m.Conntrack()
	tb.Config().Max, tb.Config().ExpectMax, tb.Config().Acct = 0, 1<<20, true
	for i := range uint32(200_000) {
		e := &conntrack.Entry{Timeout: 1e12}
		o := conntrack.Tuple{SrcL4: uint16(i), DstL4: 21, Proto: packet.TCP, L3: packet.IPv4}
		o.Src[0], o.Src[1], o.Dst[0] = 192, byte(i>>16), 198
		e.Tuple[0] = o
		e.Tuple[1], _ = o.Inverse()
		e.State, e.HasState = uint8(conntrack.TCPEstablished), true
		switch i % 10 {
		case 0:
			e.Helper = helper.Find(packet.IPv4, packet.TCP, "ftp")
		case 1:
			e.Bind = func(c *conntrack.Conn) bool {
				n := tb.AddMapping(&conntrack.Mapping{
					Inside: conntrack.Endpoint{Addr: o.Src, Port: o.SrcL4}, Outside: conntrack.Endpoint{Addr: o.Src, Port: o.SrcL4},
					Proto: packet.TCP, L3: packet.IPv4, Filter: conntrack.FilterAddressDependent,
				})
				tb.UseMapping(c, conntrack.MappingOfSource, n, &o.Dst)
				return true
			}
		}
		c, err := tb.Insert(e, 1)
		if err != nil {
			b.Fatal(err)
		}
		if e.Helper != 0 {
			x := &conntrack.Expect{Master: c.ID(), Tuple: o}
			x.Tuple.Dst, x.Tuple.DstL4 = o.Src, o.SrcL4
			if _, res := tb.Expect(x, false, 1); res != conntrack.ExpectOK {
				b.Fatal(res)
			}
		}
	}
	for _, kind := range []string{"whole", "first round", "later round"} {
		b.Run(kind, func(b *testing.B) {
			var out []byte
			var steps []time.Duration
			rounds := tb.Rounds()
			write := func() {
				s, buf := tb.BeginSnapshot(out[:0], 1)
				if kind != "whole" {
					s, buf = rounds.Begin(out[:0], 1, true)
				}
				for more := true; more; {
					at := time.Now()
					more = s.Read(snapshotSlots)
					steps = append(steps, time.Since(at))
					buf = s.Write(buf)
				}
				out = buf
			}
			write()
			write()
			steps = steps[:0]
			for b.Loop() {
				if kind == "first round" {
					rounds = tb.Rounds()
				}
				write()
			}
			slices.Sort(steps)
			b.ReportMetric(float64(steps[len(steps)/2].Microseconds()), "median-µs")
			b.ReportMetric(float64(steps[len(steps)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(steps[len(steps)-1].Microseconds()), "longest-µs")
			b.ReportMetric(float64(len(out))/200_000, "bytes/connection")
		})
	}
	for _, beside := range []string{"a packet alone", "a packet beside snapshots"} {
		b.Run(beside, func(b *testing.B) {
			var stop atomic.Bool
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop.Store(true)
			w, lan := m.Worker(), m.Ifaces().Name("wan0")
			if beside != "a packet alone" {
				wg.Go(func() {
					for out := []byte(nil); !stop.Load(); {
						out = m.AppendSnapshot(out[:0], 1)
					}
				})
			}
			d := ip4("198.51.100.1", "192.0.2.10", packet.UDP, udp(53, 53, 0)) // walked, and dropped
			var results []Result
			var took []time.Duration
			for b.Loop() {
				at := time.Now()
				results = w.ReceiveBatch([]Arrival{{In: lan, Data: d}}, 1, results)
				took = append(took, time.Since(at))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*999/1000].Microseconds()), "p99.9-µs")
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "longest-µs")
		})
	}
	if tb.Expects() < 10_000 || tb.Check() != nil {
		b.Fatal(tb.Expects(), tb.Check())
	}
}

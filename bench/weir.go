package main

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"strconv"

	"weir/engine"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

// weirSubject is weir's engine with one goroutine.
type weirSubject struct {
	m     *engine.Machine
	ifs   [2]*iface.Iface // by the way of what arrives there
	batch []Packet
	alone bool // one packet at a time
	in    []engine.Arrival
	done  []engine.Result
	// worker, if set, takes the packets in place of the machine.
	worker *engine.Worker
}

// together is how many packets weir is handed at once.
const together = 64

const weirAlone = "weir, one at a time"

func (s *weirSubject) Variants() []string { return []string{"weir", weirAlone} }
func (s *weirSubject) Translates() bool   { return true }

func (s *weirSubject) Open(conns int, rules []Rule) error {
	lan := &iface.Iface{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("10.0.0.1/8")}}}
	wan := &iface.Iface{Index: 3, Name: "wan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("203.0.113.2/24")}}}
	s.ifs = [2]*iface.Iface{Outward: lan, Inward: wan}
	sysctl := map[string]string{
		"net.ipv4.ip_forward":                "1",
		"net.netfilter.nf_conntrack_max":     strconv.Itoa(conns + conns/8 + 1024),
		"net.netfilter.nf_conntrack_buckets": strconv.Itoa(conns + conns/8 + 1024),
	}
	for k, v := range timeouts {
		sysctl[k] = v
	}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{lan, wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast}},
		Rules4: engine.Text{Name: "gateway", Text: []byte(GatewayText(rules))},
		Sysctl: sysctl,
		Seed:   1,
	})
	if len(errs) > 0 {
		return fmt.Errorf("weir: %w", errs[0])
	}
	s.m = m
	return nil
}

func (s *weirSubject) Push(w Way, b []byte, now int64) []byte {
	r := s.m.Receive(s.ifs[w], packet.Link{}, b, now)
	if len(r.Out) != 1 || r.Out[0].Dev != s.ifs[1-w] {
		return nil
	}
	return r.Out[0].Data
}

func (s *weirSubject) Stage(variant string, batch []Packet) {
	s.batch, s.alone = batch, variant == weirAlone
	s.in = s.in[:0]
	for _, p := range batch {
		s.in = append(s.in, engine.Arrival{In: s.ifs[p.Way], Data: p.Data})
	}
}

func (s *weirSubject) Run(now, step int64) (left int) {
	if s.alone {
		for i := range s.in {
			p := &s.in[i]
			r := s.m.Receive(p.In, packet.Link{}, p.Data, now)
			left += len(r.Out)
			now += step
		}
		return left
	}
	for in := s.in; len(in) > 0; {
		n := min(together, len(in))
		if s.worker != nil {
			s.done = s.worker.ReceiveBatch(in[:n], now, s.done)
		} else {
			s.done = s.m.ReceiveBatch(in[:n], now, s.done)
		}
		for i := range s.done {
			left += len(s.done[i].Out)
		}
		in = in[n:]
		now += int64(n) * step
	}
	return left
}

func (s *weirSubject) Version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range b.Settings {
			if kv.Key == "vcs.revision" && len(kv.Value) > 12 {
				return kv.Value[:12]
			}
		}
	}
	return "this tree"
}

func (s *weirSubject) Close() { *s = weirSubject{} }

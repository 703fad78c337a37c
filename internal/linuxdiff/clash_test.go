package linuxdiff

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/nat"
	"weir/packet"
	"weir/route"
)

// crossing is packets that are in the machine at one time: each has gone
// through PREROUTING before another leaves. Linux holds them in a queue of
// FORWARD; here the hooks are called one by one.
type crossing struct {
	name    string
	rules   string // of the table nat, for Linux
	snat    string // what weir does for them
	dnat    []string
	packets [][]byte
	in      []string // device of each; lan0 where it is short
}

func crossings() (list []crossing) {
	cl, other, sv := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("198.51.100.1")
	udp := func(src, dst netip.Addr, sport, dport uint16) []byte {
		return wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64}.Packet(wire.Datagram(17, src, dst, sport, dport, []byte("x")))
	}
	tcp := func(src, dst netip.Addr, sport, dport uint16) []byte {
		return wire.IP{Src: src, Dst: dst, Proto: 6, TTL: 64}.Packet(wire.Segment{Sport: sport, Dport: dport, Seq: 1, Flags: wire.SYN, Win: 1000}.Bytes(src, dst))
	}
	echo := func(src, dst netip.Addr, id uint32) []byte {
		return wire.IP{Src: src, Dst: dst, Proto: 1, TTL: 64}.Packet(wire.ICMP(src, dst, 8, 0, id<<16|1, []byte("x")))
	}
	raw := func(src, dst netip.Addr) []byte {
		return wire.IP{Src: src, Dst: dst, Proto: 253, TTL: 64}.Packet([]byte("xxxx"))
	}
	one := udp(cl, sv, 4000, 53)
	const mapping = "-A POSTROUTING -o wan0 -p udp -j SNAT --to-source 203.0.113.2:4000-4001\n-A POSTROUTING -o wan0 -p tcp -j SNAT --to-source 203.0.113.2:4000-4001\n"
	list = []crossing{
		{name: "one datagram twice", packets: [][]byte{one, one}},
		{name: "one datagram three times", packets: [][]byte{one, one, one}},
		{name: "two that have nothing in common", packets: [][]byte{one, udp(other, sv, 4000, 53)}},
		{name: "both ends begin", packets: [][]byte{one, udp(sv, cl, 53, 4000)}, in: []string{"lan0", "wan0"}},
		{name: "both ends begin, one twice", packets: [][]byte{one, udp(sv, cl, 53, 4000), one}, in: []string{"lan0", "wan0", "lan0"}},
		{name: "a SYN twice", packets: [][]byte{tcp(cl, sv, 4000, 80), tcp(cl, sv, 4000, 80)}},
		{name: "both ends send a SYN", packets: [][]byte{tcp(cl, sv, 4000, 80), tcp(sv, cl, 80, 4000)}, in: []string{"lan0", "wan0"}},
		{name: "an echo twice", packets: [][]byte{echo(cl, sv, 7), echo(cl, sv, 7)}},
		{name: "a protocol that nobody knows, twice", packets: [][]byte{raw(cl, sv), raw(cl, sv)}},
		{name: "two clients get one mapping", rules: mapping, snat: "203.0.113.2",
			packets: [][]byte{one, udp(other, sv, 4000, 53)}},
		{name: "three clients get one mapping", rules: mapping, snat: "203.0.113.2",
			packets: [][]byte{one, udp(other, sv, 4000, 53), udp(netip.MustParseAddr("192.0.2.12"), sv, 4000, 53)}},
		{name: "two clients' SYN get one mapping", rules: mapping, snat: "203.0.113.2",
			packets: [][]byte{tcp(cl, sv, 4000, 80), tcp(other, sv, 4000, 80)}},
		{name: "one datagram to two servers", rules: "-A PREROUTING -i lan0 -m statistic --mode nth --every 2 --packet 1 -j DNAT --to 198.51.100.8\n-A PREROUTING -i lan0 -j DNAT --to 198.51.100.7\n",
			dnat: []string{"198.51.100.7", "198.51.100.8"}, packets: [][]byte{one, one}},
		{name: "one datagram to two servers, three times", rules: "-A PREROUTING -i lan0 -m statistic --mode nth --every 2 --packet 1 -j DNAT --to 198.51.100.8\n-A PREROUTING -i lan0 -j DNAT --to 198.51.100.7\n",
			dnat: []string{"198.51.100.7", "198.51.100.8"}, packets: [][]byte{one, one, one}},
		{name: "one SYN to two servers", rules: "-A PREROUTING -i lan0 -m statistic --mode nth --every 2 --packet 1 -j DNAT --to 198.51.100.8\n-A PREROUTING -i lan0 -j DNAT --to 198.51.100.7\n",
			dnat: []string{"198.51.100.7", "198.51.100.8"}, packets: [][]byte{tcp(cl, sv, 4000, 80), tcp(cl, sv, 4000, 80)}},
	}
	return list
}

// orders is every order of the steps of n packets: each number stands twice,
// the first time for the way in.
func orders(n int) (list [][]int) {
	var grow func(done []int, left []int)
	grow = func(done, left []int) {
		if len(done) == 2*n {
			list = append(list, slices.Clone(done))
			return
		}
		for i := range n {
			if left[i] > 0 {
				left[i]--
				grow(append(done, i), left)
				left[i]++
			}
		}
	}
	left := make([]int, n)
	for i := range left {
		left[i] = 2
	}
	grow(nil, left)
	return list
}

// stepper is connection tracking and NAT whose packets stop between the hooks.
type stepper struct {
	env      hook.Env
	lan, wan *iface.Iface
	c        *crossing
	nth      int
	now      int64
	under    []*hook.Traversal
}

func newStepper(c *crossing) *stepper {
	s := &stepper{c: c, now: 1_700_000_000e9, under: make([]*hook.Traversal, len(c.packets))}
	s.lan = &iface.Iface{Index: 2, Name: "lan0", MTU: 1500}
	s.wan = &iface.Iface{Index: 3, Name: "wan0", MTU: 1500}
	ifs := iface.NewSet(route.Loopback(), s.lan, s.wan)
	s.env = hook.Env{CT: conntrack.New(conntrack.DefaultConfig()), Ifaces: ifs, Routes: route.New(ifs, nil, route.Options{}), Rand: noChance{}}
	return s
}

type noChance struct{}

func (noChance) Uint32() uint32                             { return 0 }
func (noChance) PortOffset(min, size uint32, _ bool) uint32 { return 0 }

// walk is the rules of the table nat.
func (s *stepper) walk(t *hook.Traversal) hook.Verdict {
	to, side := "", nat.Destination
	switch {
	case t.Point == hook.Prerouting && len(s.c.dnat) > 0:
		to = s.c.dnat[s.nth%2]
		s.nth++
	case t.Point == hook.Postrouting && s.c.snat != "" && t.Out == s.wan:
		to, side = s.c.snat, nat.Source
	default:
		return hook.Accept
	}
	a := packet.AddrOf(netip.MustParseAddr(to))
	r := &nat.Range{Flags: nat.MapIPs, MinAddr: a, MaxAddr: a}
	if side == nat.Source {
		r.Flags, r.MinPort, r.MaxPort = nat.MapIPs|nat.ProtoSpecified, 4000, 4001
	}
	if !nat.Setup(t, t.CT.Conn, r, side) {
		return t.Drop(hook.ReasonNATFailed)
	}
	return hook.Accept
}

// step takes packet i in, or out; left says that it left the machine.
func (s *stepper) step(i int) (out []byte, left bool) {
	t := s.under[i]
	if t == nil {
		t = &hook.Traversal{Pkt: new(packet.Packet), Env: &s.env, In: s.lan, Now: s.now, Point: hook.Prerouting}
		if i < len(s.c.in) && s.c.in[i] == "wan0" {
			t.In = s.wan
		}
		s.under[i] = t
		if packet.Parse(slices.Clone(s.c.packets[i]), t.Pkt) != nil {
			return nil, false
		}
		if out := s.env.CT.Track(t.Pkt, nil, &t.CT, 0, true, s.now); !out.OK || nat.Hook(t, s.walk) != hook.Accept {
			s.env.CT.Release(t.CT)
			t.Pkt = nil
		}
		return nil, false
	}
	if t.Pkt == nil {
		return nil, false
	}
	t.Pkt.SetTTL(t.Pkt.TTL() - 1)
	t.Point, t.In, t.Out = hook.Postrouting, nil, s.wan
	if i < len(s.c.in) && s.c.in[i] == "wan0" {
		t.Out = s.lan
	}
	left = nat.Hook(t, s.walk) == hook.Accept
	if left {
		o := s.env.CT.Confirm(&t.CT, t.Pkt, s.now)
		left = o.OK
	}
	s.env.CT.Release(t.CT)
	s.env.CT.Reap()
	t.CT = conntrack.Ref{}
	return t.Pkt.Data, left
}

// unconfirmed is the connections of the packets that are in the machine.
func (s *stepper) unconfirmed() (list []*conntrack.Conn) {
	for _, t := range s.under {
		if t != nil && t.CT.Conn != nil {
			list = append(list, t.CT.Conn)
		}
	}
	return list
}

// TestCrossingPacketsAsLinux steps two and three packets through the hooks in
// every order, in Linux and here, and checks the table after each step.
func TestCrossingPacketsAsLinux(t *testing.T) {
	needKernel(t)
	for _, c := range crossings() {
		t.Run(c.name, func(t *testing.T) {
			cfg := kernel.Config{
				Ifaces: []kernel.Iface{{Name: "lan0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}, {Name: "wan0", Addrs: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}}},
				Routes: []kernel.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.9"), Dev: "wan0"}},
				Sysctl: map[string]string{"net.ipv4.ip_forward": "1"},
				Rules4: "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n" + c.rules + "COMMIT\n*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n" +
					"-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED,RELATED,INVALID,UNTRACKED -j NFQUEUE --queue-num 7\nCOMMIT\n",
			}
			k, err := kernel.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			if err := k.Hold(7); err != nil {
				t.Fatal(err)
			}
			for _, order := range orders(len(c.packets)) {
				if len(c.dnat) > 0 { // the rule counts from the beginning
					err = k.Reload(cfg.Rules4, "")
				}
				if err == nil {
					err = k.Flush()
				}
				if err != nil {
					t.Fatal(err)
				}
				if cross(t, k, &c, order); t.Failed() {
					return
				}
			}
		})
	}
}

// cross goes through one order.
func cross(t *testing.T, k *kernel.Kernel, c *crossing, order []int) {
	before, err := k.Stats()
	if err != nil {
		t.Fatal(err)
	}
	s := newStepper(c)
	ids := make([]uint32, len(c.packets))
	for n, i := range order {
		var res kernel.Result
		if ids[i] == 0 {
			dev := "lan0"
			if i < len(c.in) {
				dev = c.in[i]
			}
			if _, err = k.Inject(dev, c.packets[i]); err != nil {
				t.Fatal(err)
			}
			list, err := k.Held()
			if err != nil || len(list) != 1 {
				t.Fatalf("order %v step %d: %d packets are held, %v", order, n, len(list), err)
			}
			ids[i] = list[0]
		} else if res, err = k.Release(ids[i]); err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, o := range res.Out {
			want += fmt.Sprintf("%x", o.Data)
		}
		got := ""
		if out, left := s.step(i); left {
			got = fmt.Sprintf("%x", out)
		}
		if got != want {
			t.Errorf("order %v step %d: Linux sends %q, weir %q", order, n, want, got)
		}
		if bad := s.env.CT.Check(s.unconfirmed()...); bad != nil {
			t.Errorf("order %v step %d: %v", order, n, bad)
		}
	}
	st, err := k.Stats()
	if err != nil {
		t.Fatal(err)
	}
	own := s.env.CT.Stats()
	a := fmt.Sprintf("insert_failed=%d drop=%d clash_resolve=%d", st.InsertFailed-before.InsertFailed, st.Drop-before.Drop, st.ClashResolve-before.ClashResolve)
	b := fmt.Sprintf("insert_failed=%d drop=%d clash_resolve=%d", own.InsertFailed, own.Drop, own.ClashResolve)
	list, err := k.Dump()
	if err != nil {
		t.Fatal(err)
	}
	var mine []kernel.Entry
	s.env.CT.Each(s.now, func(c *conntrack.Conn) bool {
		mine = append(mine, entryOf(c, s.now))
		return true
	})
	a += "\n" + told(list)
	b += "\n" + told(mine)
	if a != b {
		t.Errorf("order %v\nLinux %s\nweir  %s", order, a, b)
	}
}

// told is entries as lines: tuples, status and whether they end soon.
func told(list []kernel.Entry) string {
	var lines []string
	for i := range list {
		e := &list[i]
		lines = append(lines, fmt.Sprintf("proto %d %v>%v %d %d / %v>%v %d %d status %#x short %v", e.Orig.Proto, e.Orig.Src, e.Orig.Dst, e.Orig.SrcPort, e.Orig.DstPort,
			e.Reply.Src, e.Reply.Dst, e.Reply.SrcPort, e.Reply.DstPort, e.Status, e.Timeout <= 1))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

package rfc

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"weir/engine"
	"weir/iface"
	"weir/internal/wire"
	"weir/packet"
	"weir/route"
)

const second = int64(1e9)

// The hosts: a and b are inside, r1 and r2 outside, and the machine is ext.
var (
	a   = netip.MustParseAddr("192.0.2.10")
	b   = netip.MustParseAddr("192.0.2.20")
	r1  = netip.MustParseAddr("198.51.100.1")
	r2  = netip.MustParseAddr("198.51.100.2")
	ext = netip.MustParseAddr("203.0.113.2")
)

// bed is a machine between the hosts with its clock.
type bed struct {
	t   testing.TB
	m   *engine.Machine
	now int64
	rfc bool
	lan *iface.Iface
	wan *iface.Iface
}

// setting is the rule of a row: match and target are for both modes, filtering is
// the value of --filtering, none if empty; more is further rules of the nat table.
type setting struct{ match, target, filtering, more string }

const rulesText = `*nat
-A POSTROUTING -o wan %s -j %s
%sCOMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan -o wan -j ACCEPT
-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT
COMMIT
`

func newBed(t testing.TB, s setting, rfc bool) *bed {
	t.Helper()
	if s.target == "" {
		s.target = "MASQUERADE"
	}
	if rfc {
		s.target += " --mapping endpoint-independent"
		if s.filtering != "" {
			s.target += " --filtering " + s.filtering
		}
	}
	k := &bed{t: t, rfc: rfc, now: 1e18,
		lan: &iface.Iface{Index: 2, Name: "lan", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}},
		wan: &iface.Iface{Index: 3, Name: "wan", MTU: 1400, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("203.0.113.2/24")}}},
	}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{k.lan, k.wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: k.wan, Type: route.Unicast}},
		Rules4: engine.Text{Name: "rules.v4", Text: fmt.Appendf(nil, rulesText, s.match, s.target, s.more)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1"},
		Seed:   1,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	k.m = m
	return k
}

// end is an endpoint; for ICMP its port is the id.
type end struct {
	addr netip.Addr
	port uint16
}

func (e end) String() string { return netip.AddrPortFrom(e.addr, e.port).String() }

func at(addr netip.Addr, port uint16) end { return end{addr, port} }

// left is a packet that left the machine.
type left struct {
	dev string
	wire.View
}

func (l left) src() end { return l.end(l.Src, 0) }
func (l left) dst() end { return l.end(l.Dst, 2) }

func (l left) end(a netip.Addr, off int) end {
	if l.Proto == wire.ProtoICMP {
		return at(a, binary.BigEndian.Uint16(l.L4[4:]))
	}
	return at(a, binary.BigEndian.Uint16(l.L4[off:]))
}

// send puts a packet in by the interface behind which its source is, and returns
// what left because of it. Every step is a millisecond.
func (k *bed) send(data []byte) []left {
	k.t.Helper()
	k.now += 1e6
	in := k.wan
	if v, _ := wire.Parse(data); k.lan.Addrs[0].Prefix.Contains(v.Src) {
		in = k.lan
	}
	var out []left
	for _, o := range k.m.Receive(in, packet.Link{}, data, k.now).Out {
		v, ok := wire.Parse(append([]byte(nil), o.Data...))
		if !ok {
			k.t.Fatalf("what left is no packet: %x", o.Data)
		}
		out = append(out, left{o.Dev.Name, v})
	}
	if err := k.m.Conntrack().Check(); err != nil {
		k.t.Fatal(err)
	}
	return out
}

func ip(proto uint8, from, to end, l4 []byte) []byte {
	return wire.IP{Src: from.addr, Dst: to.addr, Proto: proto, TTL: 64}.Packet(l4)
}

func udp(from, to end, data string) []byte {
	return ip(wire.ProtoUDP, from, to, wire.Datagram(wire.ProtoUDP, from.addr, to.addr, from.port, to.port, []byte(data)))
}

func tcp(from, to end, flags uint8, seq, ack uint32) []byte {
	return ip(wire.ProtoTCP, from, to, wire.Segment{Sport: from.port, Dport: to.port, Flags: flags, Seq: seq, Ack: ack, Win: 1000}.Bytes(from.addr, to.addr))
}

// echo is a request from an id, or the answer to it.
func echo(from, to end, reply bool) []byte {
	typ, id := uint8(8), from.port
	if reply {
		typ, id = 0, to.port
	}
	return ip(wire.ProtoICMP, from, to, wire.ICMP(from.addr, to.addr, typ, 0, uint32(id)<<16|1, []byte("ping")))
}

// first is a packet that begins a connection.
func first(proto uint8, from, to end) []byte {
	switch proto {
	case wire.ProtoTCP:
		return tcp(from, to, wire.SYN, 100, 0)
	case wire.ProtoICMP:
		return echo(from, to, false)
	}
	return udp(from, to, "hello")
}

// open begins a connection from the inside and returns what it is outside.
func (k *bed) open(proto uint8, from, to end) end {
	k.t.Helper()
	out := k.send(first(proto, from, to))
	if len(out) != 1 || out[0].dev != "wan" || out[0].Proto != proto {
		return end{}
	}
	return out[0].src()
}

// arrives reports that a packet goes on to a host inside.
func (k *bed) arrives(data []byte, to end) bool {
	k.t.Helper()
	out := k.send(data)
	return len(out) == 1 && out[0].dev == "lan" && out[0].dst() == to
}

// in begins a connection from the outside to an outer endpoint.
func (k *bed) in(proto uint8, from, outer, to end) bool {
	k.t.Helper()
	return k.arrives(first(proto, from, outer), to)
}

// wait lets seconds pass.
func (k *bed) wait(seconds int64) {
	for range seconds {
		k.now += second
		k.m.Tick(k.now)
	}
}

// lasts is the longest of some times, in seconds, after which try still finds
// what a fresh bed was prepared for.
func lasts(k *bed, s setting, times []int64, prepare func(*bed) end, try func(*bed, end) bool) string {
	k.t.Helper()
	longest := int64(0)
	for _, d := range times {
		n := newBed(k.t, s, k.rfc)
		outer := prepare(n)
		n.now += d * second
		if try(n, outer) {
			longest = d
		}
	}
	return fmt.Sprintf("%d s", longest+1)
}

func count[T comparable](list []T) int {
	seen := map[T]bool{}
	for _, v := range list {
		seen[v] = true
	}
	return len(seen)
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

func join(list []string) string {
	if len(list) == 0 {
		return "nobody"
	}
	return strings.Join(list, ", ")
}

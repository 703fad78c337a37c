package router

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

// The machine that the kernel and weir both are in these tests.
type testDev struct {
	name  string
	mtu   int
	addrs []string
}

var testDevs = []testDev{
	{"lan0", 1500, []string{"192.0.2.1/24", "2001:db8:1::1/64", "fe80::1/64"}},
	{"wan0", 1400, []string{"203.0.113.2/24", "2001:db8:2::2/64", "fe80::2/64"}},
	{"nar0", 1300, []string{"198.51.100.1/25", "198.51.100.129/25", "2001:db8:3::1/64"}},
}

var testRoutes = []string{
	"default via 203.0.113.1 dev wan0",
	"10.9.0.0/16 via 192.0.2.9 dev lan0",
	"10.10.0.0/16 via 198.51.100.9 dev nar0 mtu 700",
	"blackhole 10.66.0.0/16", "unreachable 10.67.0.0/16", "prohibit 10.68.0.0/16", "throw 10.69.0.0/16",
	"default via 2001:db8:2::1 dev wan0",
	"2001:db8:9::/48 via 2001:db8:1::9 dev lan0",
	"2001:db8:a::/48 via 2001:db8:3::9 dev nar0",
	"blackhole 2001:db8:66::/48", "unreachable 2001:db8:67::/48", "prohibit 2001:db8:68::/48", "throw 2001:db8:69::/48",
}

// normal is a packet as hex without what the kernel chooses at random: the
// identification of IPv4 ICMP and of IPv6 fragments.
func normal(b []byte) string {
	b = bytes.Clone(b)
	if b[0]>>4 == 4 && b[9] == packet.ICMP && b[6]&0x40 == 0 {
		b[4], b[5], b[10], b[11] = 0, 0, 0, 0
	}
	if b[0]>>4 == 6 {
		if _, _, fr := packet.SkipExtHdr(b); fr.Hdr != 0 {
			copy(b[fr.Hdr+4:], []byte{0, 0, 0, 0})
		}
	}
	return hex.EncodeToString(b)
}

// collect is a sink that keeps what it gets as text.
type collect struct{ out []string }

func (c *collect) Transmit(dev *iface.Iface, p *packet.Packet, _ *hook.Traversal) {
	c.out = append(c.out, dev.Name+" "+normal(p.Data))
}

// model is weir's side of the comparison.
type model struct {
	r    *Router
	env  hook.Env
	ifs  *iface.Set
	sink collect
	now  int64
	last hook.Traversal
}

func newModel(t testing.TB, sysctl map[string]string, hooks func(*model) []hook.Entry) *model {
	t.Helper()
	m := &model{now: 1767225600e9}
	list := []*iface.Iface{route.Loopback()}
	for i, d := range testDevs {
		dev := &iface.Iface{Index: i + 2, Name: d.name, MTU: d.mtu}
		for _, a := range d.addrs {
			p := netip.MustParsePrefix(a)
			ia := iface.Addr{Prefix: p}
			if p.Addr().IsLinkLocalUnicast() {
				ia.Scope = iface.LinkLocal
			}
			dev.Addrs = append(dev.Addrs, ia)
		}
		list = append(list, dev)
	}
	m.ifs = iface.NewSet(list...)
	var routes []route.Route
	for _, l := range testRoutes {
		routes = append(routes, parseRoute(l, m.ifs))
	}
	values := map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
	for k, v := range sysctl {
		values[k] = v
	}
	c, err := FromSysctl(values, m.ifs)
	if err != nil {
		t.Fatal(err)
	}
	m.env = hook.Env{Routes: route.New(m.ifs, routes, route.Options{Anycast6: c.Forward6}), Ifaces: m.ifs}
	var entries []hook.Entry
	if hooks != nil {
		entries = hooks(m)
	}
	m.r = New(c, &m.env, hook.New(entries), &m.sink)
	return m
}

func parseRoute(l string, ifs *iface.Set) (r route.Route) {
	six := strings.Contains(l, ":")
	r.Type = route.Unicast
	f := strings.Fields(l)
	for n, typ := range map[string]route.Type{"blackhole": route.Blackhole, "unreachable": route.Unreachable, "prohibit": route.Prohibit, "throw": route.Throw} {
		if f[0] == n {
			r.Type = typ
			f = f[1:]
			break
		}
	}
	switch {
	case f[0] == "default" && six:
		r.To = netip.MustParsePrefix("::/0")
	case f[0] == "default":
		r.To = netip.MustParsePrefix("0.0.0.0/0")
	default:
		r.To = netip.MustParsePrefix(f[0])
	}
	for i := 1; i+1 < len(f); i += 2 {
		switch f[i] {
		case "via":
			r.Via = netip.MustParseAddr(f[i+1])
		case "dev":
			r.Dev = ifs.Name(f[i+1])
		case "mtu":
			fmt.Sscan(f[i+1], &r.MTU)
		}
	}
	return r
}

// inject runs a packet through weir.
func (m *model) inject(dev string, data []byte) (Fate, []string) {
	m.sink.out = nil
	m.r.Tick(m.now)
	var pk packet.Packet
	if packet.Parse(bytes.Clone(data), &pk) != nil {
		m.last = hook.Traversal{Why: hook.ReasonMalformed}
		return Dropped, nil
	}
	m.last = hook.Traversal{Pkt: &pk, Env: &m.env, Now: m.now, In: m.ifs.Name(dev)}
	f := m.r.Receive(&m.last)
	return f, m.sink.out
}

func pickOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// randomV4 makes an IPv4 packet full of corner cases.
func randomV4(r *rand.Rand) []byte {
	src := pickOf(r, "192.0.2.2", "192.0.2.2", "192.0.2.2", "198.51.100.5", "203.0.113.9", "10.9.1.1", "8.8.8.8", "10.66.0.1", "10.68.1.1", "10.69.0.1",
		"192.0.2.1", "203.0.113.2", "192.0.2.255", "192.0.2.0", "255.255.255.255", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "224.0.0.1", "240.0.0.1", "198.51.100.129")
	dst := pickOf(r, "203.0.113.9", "203.0.113.9", "198.51.100.5", "192.0.2.9", "10.9.1.1", "10.10.1.1", "8.8.8.8", "10.66.0.1", "10.67.0.1", "10.68.1.1", "10.69.0.1",
		"192.0.2.1", "192.0.2.1", "203.0.113.2", "192.0.2.255", "192.0.2.0", "255.255.255.255", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "224.0.0.1", "224.0.0.5", "239.1.1.1", "240.0.0.1", "198.51.100.127", "198.51.100.129", "203.0.113.255")
	// Linux limits errors for want of a route to five for a sender.
	if r.IntN(3) == 0 || strings.HasPrefix(dst, "10.6") {
		src = fmt.Sprintf("8.%d.%d.%d", r.IntN(256), r.IntN(256), 1+r.IntN(254))
	}
	var opt []byte
	for r.IntN(6) == 0 && len(opt) < 36 {
		opt = append(opt, randomOption4(r)...)
	}
	for len(opt)%4 != 0 {
		opt = append(opt, byte(r.IntN(2)))
	}
	if len(opt) > 40 {
		opt = opt[:40]
	}
	size := pickOf(r, 0, 8, 20, 60, 700, 1272, 1373, 1400, 1480)
	proto := pickOf[uint8](r, 1, 1, 6, 6, 17, 17, 2, 99, 47, 136, 132, 50, 4)
	d := make([]byte, 20+len(opt), 2000)
	d[0] = 0x40 | byte(len(d)/4)
	d[1] = pickOf[byte](r, 0, 0, 0x10, 0xb8, 3, 0xff)
	d[4], d[5] = 0x12, byte(r.IntN(256))
	d[6] = pickOf[byte](r, 0, 0x40, 0x40)
	d[8] = pickOf[byte](r, 64, 64, 64, 1, 2, 0, 255)
	d[9] = proto
	copy(d[12:], netip.MustParseAddr(src).AsSlice())
	copy(d[16:], netip.MustParseAddr(dst).AsSlice())
	copy(d[20:], opt)
	return sealed(r, append(d, randomL4(r, proto, size)...))
}

// sealed writes lengths and checksums.
func sealed(r *rand.Rand, d []byte) []byte {
	p := packet.Packet{Data: d, Family: packet.IPv4}
	if d[0]>>4 == 4 {
		binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:int(d[0]&15)*4]))
	} else {
		p.Family = packet.IPv6
		binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40))
	}
	p.Reparse()
	if r.IntN(30) != 0 && p.L4 >= 0 {
		p.FixL4Checksum()
	}
	return d
}

func randomOption4(r *rand.Rand) []byte {
	b := func(typ byte, n, ptr int, rest ...byte) []byte {
		o := make([]byte, n)
		o[0], o[1] = typ, byte(n)
		if n > 2 {
			o[2] = byte(ptr)
		}
		if n > 3 {
			copy(o[3:], rest)
		}
		return o
	}
	switch r.IntN(10) {
	case 0:
		return []byte{optNoop}
	case 1:
		return b(optRecord, pickOf(r, 3, 7, 11, 15, 39), pickOf(r, 4, 4, 8, 12, 5, 3, 0))
	case 2:
		return b(optTimestamp, pickOf(r, 4, 8, 12, 20, 36), pickOf(r, 5, 5, 9, 13, 4), byte(pickOf(r, 0, 1, 3, 2, 0xf0, 0xf1)))
	case 3:
		return b(optTimestamp, 20, 5, 3, 192, 0, 2, 1)
	case 4:
		return b(optAlert, 4, 0)
	case 5:
		return b(optLooseRoute, pickOf(r, 7, 11), pickOf(r, 4, 8), 192, 0, 2, 9)
	case 6:
		return b(optStrictRoute, 7, 4, 203, 0, 113, 9)
	case 7:
		return b(130, 11, 0)
	case 8:
		return []byte{byte(r.IntN(256)), byte(r.IntN(8)), 0, 0}
	}
	return []byte{optNoop, optNoop, optEnd, byte(r.IntN(2))}
}

func randomL4(r *rand.Rand, proto uint8, size int) []byte {
	m := make([]byte, size)
	for i := range m {
		m[i] = byte(r.Uint32())
	}
	if size < 8 {
		return m
	}
	switch proto {
	case packet.UDP:
		binary.BigEndian.PutUint16(m[4:], uint16(size))
		if r.IntN(10) == 0 {
			binary.BigEndian.PutUint16(m[4:], uint16(r.IntN(size+2)))
		}
	case packet.UDPLite:
		m[4], m[5] = 0, 0
	case packet.TCP:
		if size >= 20 {
			m[12] = pickOf[byte](r, 0x50, 0x50, 0x50, 0x60, 0x40, 0xf0)
			m[13] = pickOf[byte](r, 2, 0x10, 0x12, 4, 1, 0, 0x18, 0x3f)
		}
	case packet.ICMP:
		m[0] = pickOf[byte](r, 8, 8, 8, 0, 3, 11, 12, 13, 17, 5, 42, 15, 19, 200)
		m[1] = byte(r.IntN(3))
	case packet.ICMPv6:
		m[0] = pickOf[byte](r, 128, 128, 128, 129, 1, 3, 127, 200)
		m[1] = byte(r.IntN(3))
	}
	return m
}

func randomV6(r *rand.Rand) []byte {
	src := pickOf(r, "2001:db8:1::2", "2001:db8:1::2", "2001:db8:1::2", "2001:db8:2::9", "2001:db8:9::1", "2001:db8:ffff::1", "2001:db8:66::1", "2001:db8:68::1",
		"2001:db8:1::1", "2001:db8:2::2", "::", "::1", "fe80::9", "ff02::1", "ff0e::1", "2001:db8:1::", "::ffff:192.0.2.2", "fc00::1")
	dst := pickOf(r, "2001:db8:2::9", "2001:db8:2::9", "2001:db8:9::1", "2001:db8:a::1", "2001:db8:ffff::1", "2001:db8:66::1", "2001:db8:67::1", "2001:db8:68::1", "2001:db8:69::1",
		"2001:db8:1::1", "2001:db8:1::1", "2001:db8:2::2", "::", "::1", "fe80::1", "fe80::2", "fe80::99", "ff02::1", "ff01::1", "ff00::1", "ff02::2", "ff05::2", "ff02::1:ff00:1", "ff0e::1", "2001:db8:1::", "2001:db8:2::", "2001:db8:1::77", "::ffff:192.0.2.2")
	d := make([]byte, 40, 2000)
	d[0], d[1] = 0x60, pickOf[byte](r, 0, 0, 0xb0)
	d[2], d[3] = byte(r.IntN(2)), 7
	d[7] = pickOf[byte](r, 64, 64, 64, 1, 2, 0, 255)
	copy(d[8:], netip.MustParseAddr(src).AsSlice())
	copy(d[24:], netip.MustParseAddr(dst).AsSlice())
	named := 6
	for r.IntN(4) == 0 {
		h, typ := randomExt(r)
		d[named] = typ
		named = len(d)
		d = append(d, h...)
	}
	proto := pickOf[uint8](r, 58, 58, 6, 6, 17, 17, 99, 59, 47, 136, 1, 132, 50)
	d[named] = proto
	d = append(d, randomL4(r, proto, pickOf(r, 0, 8, 20, 60, 1192, 1252, 1353, 1380, 1460))...)
	return sealed(r, d)
}

func randomExt(r *rand.Rand) ([]byte, uint8) {
	switch r.IntN(5) {
	case 0:
		h := []byte{0, 0, 0, byte(r.IntN(2)), 0, 0, 0, 1} // atomic or first fragment
		if h[3] == 0 && r.IntN(2) == 0 {
			h[3] = 8
		}
		h[7] = byte(r.IntN(256))
		return h, packet.Fragment
	case 1:
		h := make([]byte, 24)
		h[1], h[2], h[3] = 2, pickOf[byte](r, 0, 2, 3, 4, 5), byte(r.IntN(3))
		return h, packet.Routing
	}
	h := []byte{0, 0}
	for len(h) < 8 || r.IntN(2) == 0 && len(h) < 32 {
		switch r.IntN(6) {
		case 0:
			h = append(h, 0)
		case 1:
			h = append(h, 1, byte(r.IntN(4)), 0, 0, 0)[:len(h)+2]
			h = append(h, make([]byte, h[len(h)-1])...)
		case 2:
			h = append(h, pickOf[byte](r, 0x3e, 0x7e, 0xbe, 0xfe, 0xc9, 0xc2), 4, 0, 0, 0, 0)
		case 3:
			h = append(h, 5, 2, 0, 0)
		case 4:
			h = append(h, 1, 2, 0, 0)
		case 5:
			h = append(h, byte(r.Uint32()), byte(r.IntN(6)))
		}
	}
	for len(h)%8 != 0 {
		h = append(h, 0)
	}
	h[1] = byte(len(h)/8 - 1)
	return h, pickOf[uint8](r, packet.HopByHop, packet.DestOpts)
}

// defragHooks is what connection tracking adds to the walk of a fragment.
func defragHooks(m *model) []hook.Entry {
	f := func(t *hook.Traversal) hook.Verdict { return m.r.Defrag(t) }
	return []hook.Entry{
		{At: hook.Prerouting, Pri: hook.PriDefrag, Name: "defrag", Fn: f},
		{At: hook.Output, Pri: hook.PriDefrag, Name: "defrag", Fn: f},
	}
}

// randomFragments cuts a random datagram, mostly well.
func randomFragments(r *rand.Rand, id uint32) (out [][]byte) {
	six := r.IntN(2) == 0
	proto := uint8(packet.UDP)
	size := 16 + r.IntN(pickOf(r, 200, 3000, 6000))
	var whole []byte
	if six {
		whole = make([]byte, 40, 8000)
		whole[0], whole[7] = 0x60, pickOf[byte](r, 64, 1)
		copy(whole[8:], netip.MustParseAddr("2001:db8:1::2").AsSlice())
		copy(whole[24:], netip.MustParseAddr(pickOf(r, "2001:db8:2::9", "2001:db8:a::1", "2001:db8:1::1", "2001:db8:9::1")).AsSlice())
		if r.IntN(4) == 0 {
			proto = packet.ICMPv6
		}
		whole[6] = proto
	} else {
		opt := 0
		if r.IntN(5) == 0 {
			opt = 8
		}
		whole = make([]byte, 20+opt, 8000)
		whole[0], whole[8] = 0x40|byte(len(whole)/4), pickOf[byte](r, 64, 64, 1)
		copy(whole[12:], []byte{192, 0, 2, 2})
		copy(whole[16:], netip.MustParseAddr(pickOf(r, "203.0.113.9", "10.10.1.1", "192.0.2.1", "10.9.1.1")).AsSlice())
		if opt > 0 {
			copy(whole[20:], pickOf(r, []byte{7, 7, 4, 0, 0, 0, 0, 0}, []byte{148, 4, 0, 0, 130, 4, 1, 1}, []byte{1, 1, 1, 0}))
		}
		if r.IntN(4) == 0 {
			proto = packet.ICMP
		}
		whole[9] = proto
	}
	head := len(whole)
	whole = sealed(r, append(whole, randomL4(r, proto, size)...))
	body := whole[head:]
	cut := 8 * (1 + r.IntN(pickOf(r, 10, 180)))
	df := byte(0)
	if r.IntN(3) == 0 {
		df = 0x40
	}
	emit := func(from, to int, more bool) {
		b := append([]byte(nil), whole[:head]...)
		if r.IntN(12) == 0 {
			b[1] ^= pickOf[byte](r, 1, 2, 3) << (4 * uint(b[0]>>4-4) / 2)
		}
		if six {
			h := []byte{b[6], 0, 0, 0, 0, 0, 0, 0}
			b[6] = packet.Fragment
			w := uint16(from)
			if more {
				w |= 1
			}
			binary.BigEndian.PutUint16(h[2:], w)
			binary.BigEndian.PutUint32(h[4:], id)
			b = append(append(b, h...), body[from:to]...)
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
		} else {
			w := uint16(from / 8)
			if more {
				w |= 0x2000
			}
			binary.BigEndian.PutUint16(b[6:], w)
			b[6] |= df
			binary.BigEndian.PutUint16(b[4:], uint16(id))
			b = append(b, body[from:to]...)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			binary.BigEndian.PutUint16(b[10:], packet.IPv4HeaderChecksum(b[:head]))
		}
		if len(b) <= 1500 || r.IntN(2) == 0 {
			out = append(out, b)
		}
	}
	at := 0
	for at < len(body) {
		n := min(cut, len(body)-at)
		if r.IntN(6) == 0 {
			n = min(8*(1+r.IntN(100)), len(body)-at)
		}
		emit(at, at+n, at+n < len(body))
		switch r.IntN(25) {
		case 0: // the same again
			emit(at, at+n, at+n < len(body))
		case 1: // overlap
			from := 8 * r.IntN(at/8+1)
			emit(from, min(len(body), from+8+8*r.IntN(20)), true)
		case 2: // an odd length
			emit(at, max(at, at+n-1-r.IntN(7)), true)
		case 3: // another end
			emit(at, at+n, false)
		case 4: // a part of it
			emit(at, min(len(body), at+8), true)
		}
		at += n
	}
	if r.IntN(3) == 0 {
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

// describe is the fields of fragments in words.
func describe(frags [][]byte) (s string) {
	for _, b := range frags {
		var p packet.Packet
		if packet.Parse(b, &p) != nil {
			s += " malformed"
			continue
		}
		n := len(b) - p.HeaderLen()
		if p.FragHdr > 0 {
			n = len(b) - p.FragHdr - 8
		}
		s += fmt.Sprintf(" %d-%d", p.FragOff, int(p.FragOff)+n)
		if p.More {
			s += "+"
		}
		s += fmt.Sprintf("/%d", p.TOS()&3)
	}
	return s
}

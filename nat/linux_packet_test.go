package nat_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
)

// TestLinuxOddPackets compares the rewriting of packets that are short, odd,
// wrapped or cut.
func TestLinuxOddPackets(t *testing.T) {
	r := sides(t)
	const udp, tcp = wire.ProtoUDP, wire.ProtoTCP
	const snat, dnat = "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", "-A PREROUTING -i lan0 -j DNAT --to-destination {real}"
	const snatPorts = "-A POSTROUTING -o wan0 -p udp -j SNAT --to-source {[nat]}:7000"
	// v6 gives IPv6 only, v4 IPv4 only.
	v4 := func(f func() []gen.Packet) func(int) []gen.Packet {
		return func(i int) []gen.Packet {
			if i == 0 {
				return f()
			}
			return nil
		}
	}
	v6 := func(f func() []gen.Packet) func(int) []gen.Packet {
		return func(i int) []gen.Packet {
			if i == 1 {
				return f()
			}
			return nil
		}
	}
	// withExt is a flow's packet behind extension headers.
	withExt := func(f flow, ext uint8, options []byte, last int) []byte {
		h := f.header()
		h.Ext, h.Options, h.Last = ext, options, last
		return h.Packet(f.segment(1, 2, 3))
	}
	gre := func(i int) (list []gen.Packet) {
		f := families[i]
		h := flow{wire.ProtoGRE, f.lan, f.server, 0, 0}.header()
		for version := range byte(8) {
			for _, b := range [][]byte{
				{0, version, 0x88, 0x0b, 0, 4, 0x12, 0x34, 0, 0, 0, 1}, {0, version, 0x08, 0}, {0, version, 0x88, 0x0b}, {0, version, 0x88, 0x0b, 0, 4, 0x12},
				{0x20, version, 0x08, 0, 0, 0, 0, 7, 0x45}, {0, version}, {},
			} {
				list = append(list, from("lan0", h.Packet(b))...)
			}
		}
		return list
	}
	bare := func(i int) (list []gen.Packet) {
		f := families[i]
		for _, proto := range []uint8{tcp, udp, wire.ProtoUDPLite, wire.ProtoSCTP, f.icmp, wire.ProtoESP, 51, 253, 4, 41, 2, 103, 33, 0x3b} {
			fl := flow{proto, f.lan, f.server, 5000, 53}
			seg := fl.segment(1, 2, 3, 4, 5, 6, 7, 8, 9)
			for n := 0; n <= len(seg); n += 2 {
				list = append(list, from("lan0", fl.header().Packet(seg[:n]))...)
			}
		}
		return list
	}
	queries := v4(func() (list []gen.Packet) {
		f := families[0]
		for typ := range uint8(42) {
			for _, code := range []uint8{0, 1} {
				h := wire.IP{Src: ip(f.lan), Dst: ip(f.server), Proto: wire.ProtoICMP, TTL: 64}
				back := wire.IP{Src: ip(f.server), Dst: ip(f.nat), Proto: wire.ProtoICMP, TTL: 64}
				list = append(list, from("lan0", h.Packet(wire.ICMP(h.Src, h.Dst, typ, code, 0x00070001, make([]byte, 12))))...)
				answer := typ + 1
				if typ == 8 {
					answer = 0
				}
				list = append(list, from("wan0", back.Packet(wire.ICMP(back.Src, back.Dst, answer, code, 0x00070001, make([]byte, 12))))...)
			}
		}
		return list
	})
	queries6 := v6(func() (list []gen.Packet) {
		f := families[1]
		for typ := 100; typ < 160; typ++ {
			h := wire.IP{Src: ip(f.lan), Dst: ip(f.server), Proto: wire.ProtoICMP6, TTL: 64}
			back := wire.IP{Src: ip(f.server), Dst: ip(f.nat), Proto: wire.ProtoICMP6, TTL: 64}
			list = append(list, from("lan0", h.Packet(wire.ICMP(h.Src, h.Dst, uint8(typ), 0, 0x00070001, make([]byte, 12))))...)
			list = append(list, from("wan0", back.Packet(wire.ICMP(back.Src, back.Dst, uint8(typ+1), 0, 0x00070001, make([]byte, 12))))...)
		}
		return list
	})
	exts := v6(func() (list []gen.Packet) {
		f := families[1]
		pad := []byte{0, 0, 1, 4, 0, 0, 0, 0}
		for _, proto := range []uint8{tcp, udp, wire.ProtoICMP6, wire.ProtoESP, wire.ProtoSCTP, 59} {
			fl := flow{proto, f.lan, f.server, 5000, 53}
			list = append(list, from("lan0",
				withExt(fl, 0, pad, 0), withExt(fl, 60, pad, 0), withExt(fl, 60, append([]byte{60, 0, 1, 4, 0, 0, 0, 0}, pad...), 8),
				withExt(fl, 43, []byte{0, 0, 4, 0, 0, 0, 0, 0}, 0), withExt(fl, 44, []byte{0, 0, 0, 0, 0, 0, 0, 9}, 0),
				withExt(fl, 51, []byte{0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, 0))...)
		}
		return list
	})
	cutExts := v6(func() (list []gen.Packet) {
		f := families[1]
		pad := []byte{0, 0, 1, 4, 0, 0, 0, 0}
		list = from("lan0", flow{udp, f.lan, f.server, 5000, 53}.packet(1, 2, 3))
		far := flow{udp, f.nat, f.server, 5000, 53}
		for _, quote := range [][]byte{
			withExt(far, 0, pad, 0), withExt(far, 60, pad, 0), withExt(far, 44, []byte{0, 0, 0, 1, 0, 0, 0, 9}, 0),
			withExt(far, 44, []byte{0, 0, 0, 8, 0, 0, 0, 9}, 0), withExt(far, 51, []byte{0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, 0),
		} {
			for n := 36; n <= len(quote); n++ {
				list = append(list, from("wan0", icmpError(f.hop, f.nat, 1, 0, 0, quote[:n]))...)
			}
		}
		return list
	})
	options := v4(func() (list []gen.Packet) {
		f := families[0]
		fl := flow{udp, f.lan, f.server, 5000, 53}
		h := fl.header()
		h.Options = []byte{1, 1, 1, 1, 1, 1, 1, 0}
		list = from("lan0", h.Packet(fl.segment(1, 2)))
		h = fl.via(f.nat, 7000).header()
		h.Options = []byte{1, 1, 1, 1, 1, 1, 1, 0}
		quote := h.Packet(fl.via(f.nat, 7000).segment(1, 2))
		for n := 18; n <= len(quote); n++ {
			list = append(list, from("wan0", icmpError(f.hop, f.nat, 11, 0, 0, quote[:n]))...)
		}
		return list
	})
	// The header length of the quoted packet is below 20: its ports are
	// then somewhere in the header.
	short := v4(func() (list []gen.Packet) {
		f := families[0]
		for words := range byte(5) {
			quote := flow{udp, f.nat, f.server, 5000, 53}.packet(make([]byte, 25)...)
			quote[0] = 0x40 | words
			at := int(words) * 4
			for _, p := range []uint16{0, 0x4000} {
				binary.BigEndian.PutUint16(quote[6:], p)
				fl := flow{udp, f.lan, f.server, binary.BigEndian.Uint16(quote[at:]), binary.BigEndian.Uint16(quote[at+2:])}
				list = append(list, from("lan0", fl.packet(1))...)
				list = append(list, from("wan0", icmpError(f.hop, f.nat, 11, 0, 0, quote))...)
			}
		}
		return list
	})
	// A header checksum may be zero in two ways.
	zeros := v4(func() (list []gen.Packet) {
		f := families[0]
		fl := flow{udp, f.lan, f.server, 5000, 53}
		b := fl.packet(1)
		for id := range 65536 {
			binary.BigEndian.PutUint16(b[4:], uint16(id))
			wire.FixIP(b)
			if binary.BigEndian.Uint16(b[10:]) == 0 {
				ffff := append([]byte(nil), b...)
				ffff[10], ffff[11] = 0xff, 0xff
				list = append(list, from("lan0", append([]byte(nil), b...), ffff)...)
			}
		}
		return list
	})
	fragments := func(i int) (list []gen.Packet) {
		f := families[i]
		fl := flow{udp, f.lan, f.server, 5000, 53}
		seg := fl.segment(make([]byte, 1000)...)
		h := fl.header()
		if i == 0 {
			for at := 0; at < len(seg); at += 400 {
				b := h.Packet(seg[at:min(at+400, len(seg))])
				w := uint16(at / 8)
				if at+400 < len(seg) {
					w |= 0x2000
				}
				binary.BigEndian.PutUint16(b[6:], w)
				wire.FixIP(b)
				list = append(list, from("lan0", b)...)
			}
			return list
		}
		h.Ext = 44
		for at := 0; at < len(seg); at += 400 {
			w := uint16(at)
			if at+400 < len(seg) {
				w |= 1
			}
			h.Options = []byte{0, 0, byte(w >> 8), byte(w), 0, 0, 0, 5}
			list = append(list, from("lan0", h.Packet(seg[at:min(at+400, len(seg))]))...)
		}
		return list
	}
	for _, c := range []struct {
		name, rules string
		packets     func(int) []gen.Packet
	}{
		{"GRE, source", snat, gre},
		{"GRE, destination", dnat, gre},
		{"cut in layer 4, source", snat, bare},
		{"cut in layer 4, destination", dnat, bare},
		{"ICMP types", snat, queries},
		{"ICMPv6 types", snat, queries6},
		{"extension headers, source", snat, exts},
		{"extension headers, destination", dnat, exts},
		{"errors that quote extension headers", snat, cutExts},
		{"IPv4 options and errors that quote them", snatPorts, options},
		{"errors that quote an impossible header length", snat, short},
		{"two zeros in the header checksum, source", snat, zeros},
		{"two zeros in the header checksum, both sides", snat + "\n" + dnat, zeros},
		{"fragments", snatPorts, fragments},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := both(c.rules)
			for i := range families {
				m.Packets = append(m.Packets, c.packets(i)...)
			}
			compare(t, r, m)
		})
	}
}

// TestLinuxPlaces compares NAT at every hook and what MASQUERADE and REDIRECT
// choose.
func TestLinuxPlaces(t *testing.T) {
	r := sides(t)
	const udp, tcp = wire.ProtoUDP, wire.ProtoTCP
	own := []string{"203.0.113.2", "2001:db8:2::2"}
	ownLan := []string{"192.0.2.1", "2001:db8:1::1"}
	local := func(list ...[]byte) []gen.Packet { return from(gen.Local, list...) }
	sent := func(i int) (list []gen.Packet) {
		f := families[i]
		for n, proto := range []uint8{udp, tcp, f.icmp} {
			list = append(list, local(flow{proto, own[i], f.server, 5000 + uint16(n), 53}.packet(1))...)
		}
		return list
	}
	through := func(i int) (list []gen.Packet) {
		f := families[i]
		for n, proto := range []uint8{udp, tcp, f.icmp} {
			list = append(list, from("lan0", flow{proto, f.lan, f.server, 5000 + uint16(n), 53}.packet(1))...)
		}
		return list
	}
	inward := func(i int) (list []gen.Packet) {
		f := families[i]
		for n, proto := range []uint8{udp, tcp, f.icmp} {
			list = append(list, from("lan0", flow{proto, f.lan, ownLan[i], 5000 + uint16(n), 53}.packet(1))...)
			list = append(list, from("wan0", flow{proto, f.server, own[i], 5000 + uint16(n), 53}.packet(1))...)
		}
		return list
	}
	for _, c := range []struct {
		name, rules string
		packets     func(int) []gen.Packet
	}{
		{"DNAT of what the machine sends", "-A OUTPUT -p udp -j DNAT --to-destination {[lan]}:99\n-A OUTPUT -p tcp -j DNAT --to-destination {[real]}:99\n-A OUTPUT -j DNAT --to-destination {lan}", sent},
		{"SNAT of what the machine sends", "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}", sent},
		{"MASQUERADE of what the machine sends", "-A POSTROUTING -o wan0 -j MASQUERADE", sent},
		{"REDIRECT of what the machine sends", "-A OUTPUT -p udp -j REDIRECT --to-ports 99\n-A OUTPUT -j REDIRECT", sent},
		{"NETMAP of what the machine sends", "-A OUTPUT -j NETMAP --to {netmap}", sent},
		{"SNAT in INPUT", "-A INPUT -p udp -j SNAT --to-source {[nat]}:9\n-A INPUT -j SNAT --to-source {nat}", inward},
		{"NETMAP in INPUT", "-A INPUT -j NETMAP --to {netmap}", inward},
		{"REDIRECT", "-A PREROUTING -j REDIRECT", through},
		{"REDIRECT with a port", "-A PREROUTING -p udp -j REDIRECT --to-ports 99\n-A PREROUTING -p tcp -j REDIRECT --to-ports 99", through},
		{"MASQUERADE", "-A POSTROUTING -o wan0 -j MASQUERADE", through},
		{"MASQUERADE --random", "-A POSTROUTING -o wan0 -j MASQUERADE --random", through},
		{"NETMAP in PREROUTING", "-A PREROUTING -j NETMAP --to {netmap}", through},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := both(c.rules)
			p := netip.MustParsePrefix
			// More addresses to choose from.
			m.Machine.Ifaces[0].Addrs = append(m.Machine.Ifaces[0].Addrs, p("192.0.2.3/24"), p("2001:db8:1::3/64"), p("198.18.0.1/24"))
			m.Machine.Ifaces[1].Addrs = append([]netip.Prefix{p("198.18.1.1/24"), p("2001:db8:5::1/64")}, m.Machine.Ifaces[1].Addrs...)
			m.Machine.Ifaces[1].Addrs = append(m.Machine.Ifaces[1].Addrs, p("203.0.113.3/24"), p("2001:db8:2::3/64"))
			m.Machine.Routes = append(m.Machine.Routes, kernel.Route{To: p("198.51.100.0/25"), Via: ip("198.18.1.9"), Dev: "wan0"})
			for i := range families {
				m.Packets = append(m.Packets, c.packets(i)...)
			}
			compare(t, r, m)
		})
	}
}

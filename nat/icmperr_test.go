package nat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/internal/wire"
	"weir/packet"
)

// scene is one translated connection and the parties around it.
type scene struct {
	*rig
	proto                             uint8
	client, server, nat, real, hop, x string // x is inside
	typ, redirect                     uint8
}

// scenes are SNAT of the source with a port, and DNAT with one, in both
// families.
func scenes(proto uint8, snat bool) (list []*scene) {
	for _, s := range []*scene{
		{client: "192.0.2.10", server: "198.51.100.1", nat: "203.0.113.2", real: "198.51.100.20", hop: "198.51.100.99", x: "192.0.2.99", typ: 3, redirect: 5},
		{client: "2001:db8:1::10", server: "2001:db8:9::1", nat: "2001:db8:2::2", real: "2001:db8:9::20", hop: "2001:db8:9::99", x: "2001:db8:1::99", typ: 1, redirect: 137},
	} {
		s.rig, s.proto = newRig(), proto
		if snat {
			s.rule(hook.Postrouting, func() bool {
				return Setup(&s.t, s.t.CT.Conn, &Range{Flags: MapIPs | ProtoSpecified, MinAddr: address(s.nat), MaxAddr: address(s.nat), MinPort: 7000, MaxPort: 7000}, Source)
			})
		} else {
			s.rule(hook.Prerouting, func() bool {
				return Setup(&s.t, s.t.CT.Conn, &Range{Flags: MapIPs | ProtoSpecified, MinAddr: address(s.real), MaxAddr: address(s.real), MinPort: 8000, MaxPort: 8000}, Destination)
			})
		}
		if v := s.forward(s.near(), s.lan, s.wan); v != hook.Accept {
			panic(v)
		}
		list = append(list, s)
	}
	return list
}

// near is the connection's first packet as the client sent it, far as it left.
func (s *scene) near() []byte {
	return segment(s.proto, s.client, s.server, 5000, 53, []byte("question"))
}

func (s *scene) far(snat bool) []byte {
	if snat {
		return segment(s.proto, s.nat, s.server, 7000, 53, []byte("question"))
	}
	return segment(s.proto, s.client, s.real, 5000, 8000, []byte("question"))
}

func complaint(src, dst string, typ, code uint8, quote []byte) []byte {
	s, d := address(src).IP(familyOf(src)), address(dst).IP(familyOf(dst))
	return wire.IP{Src: s, Dst: d, Proto: wire.ICMPOf(s), TTL: 60}.Packet(wire.ICMP(s, d, typ, code, 0, quote))
}

func familyOf(a string) packet.Family {
	if bytes.ContainsRune([]byte(a), ':') {
		return packet.IPv6
	}
	return packet.IPv4
}

// TestErrorsAboutTranslatedPackets is the quoted packet and the addresses
// after translation.
func TestErrorsAboutTranslatedPackets(t *testing.T) {
	for _, proto := range []uint8{wire.ProtoTCP, wire.ProtoUDP} {
		for _, snat := range []bool{true, false} {
			for _, s := range scenes(proto, snat) {
				header := 20
				if familyOf(s.client) == packet.IPv6 {
					header = 40
				}
				far, near := s.far(snat), s.near()
				outside, victim, told := s.hop, s.nat, s.client
				if !snat {
					outside, victim, told = s.real, s.client, s.client
				}
				for _, quoted := range []int{8, 20, 27, len(far) - header} {
					t.Run(fmt.Sprintf("protocol %d snat %v %s %d bytes behind the header", proto, snat, s.client, quoted), func(t *testing.T) {
						n := min(header+quoted, len(far))
						if v := s.forward(complaint(outside, victim, s.typ, 1, far[:n]), s.wan, s.lan); v != hook.Accept {
							t.Fatalf("%v because of %v", v, s.t.Why)
						}
						if s.t.CT.Info != conntrack.InfoRelatedReply {
							t.Errorf("info %d", s.t.CT.Info)
						}
						from := s.hop
						if !snat {
							from = s.server // the public address, not the real one
						}
						if s.p.Src() != address(from) || s.p.Dst() != address(told) {
							t.Errorf("from %v to %v, want from %s to %s", s.p.Src().IP(s.p.Family), s.p.Dst().IP(s.p.Family), from, told)
						}
						if !s.p.L4ChecksumOK() {
							t.Error("the ICMP checksum is wrong")
						}
						got, want := s.p.Data[s.p.L4+8:], bytes.Clone(near[:n])
						if header == 20 {
							// far has its own IP identification.
							copy(want[4:6], far[4:6])
							wire.FixIP(want)
						}
						if !bytes.Equal(got, want) {
							t.Errorf("quotes %x, want %x", got, want)
						}
					})
				}
				for _, c := range []struct {
					name string
					data []byte
				}{
					{"four bytes of layer 4", complaint(s.hop, victim, s.typ, 1, far[:header+4])},
					{"a redirect", complaint(s.hop, victim, s.redirect, 0, far)},
					{"a wrong checksum", func() []byte {
						b := complaint(s.hop, victim, s.typ, 1, far)
						b[len(b)-1] ^= 1
						return b
					}()},
				} {
					if header == 40 && c.name == "a redirect" {
						continue // conntrack wants its sender on the link
					}
					t.Run(fmt.Sprintf("protocol %d snat %v %s %s", proto, snat, s.client, c.name), func(t *testing.T) {
						if v := s.forward(c.data, s.wan, s.lan); v != hook.Drop || s.t.Why != hook.ReasonNATFailed {
							t.Errorf("%v because of %v", v, s.t.Why)
						}
					})
				}
			}
		}
	}
}

// TestTheInsideComplains is an error from the client's side about an answer:
// it leaves with the translated address, and quotes what the outside sent.
func TestTheInsideComplains(t *testing.T) {
	for _, s := range scenes(wire.ProtoUDP, true) {
		answer := segment(wire.ProtoUDP, s.server, s.client, 53, 5000, []byte("answer"))
		if v := s.forward(complaint(s.x, s.server, s.typ, 1, answer), s.lan, s.wan); v != hook.Accept || s.t.CT.Info != conntrack.InfoRelated {
			t.Fatalf("%v because of %v, info %d", v, s.t.Why, s.t.CT.Info)
		}
		want := segment(wire.ProtoUDP, s.server, s.nat, 53, 7000, []byte("answer"))
		if s.p.Family == packet.IPv4 {
			copy(want[4:6], answer[4:6])
			wire.FixIP(want)
		}
		if got := s.p.Data[s.p.L4+8:]; !bytes.Equal(got, want) || s.p.Src() != address(s.nat) || !s.p.L4ChecksumOK() {
			t.Errorf("from %v quoting %x, want %x", s.p.Src().IP(s.p.Family), got, want)
		}
	}
}

// TestRedirectsOfUntranslatedConnections pass.
func TestRedirectsOfUntranslatedConnections(t *testing.T) {
	r := newRig()
	first := segment(wire.ProtoUDP, "192.0.2.10", "198.51.100.1", 5000, 53, nil)
	r.forward(bytes.Clone(first), r.lan, r.wan)
	if v := r.forward(complaint("198.51.100.99", "192.0.2.10", redirect4, 0, first), r.wan, r.lan); v != hook.Accept || r.t.CT.Conn == nil {
		t.Errorf("%v because of %v", v, r.t.Why)
	}
}

// TestChecksumsOfUDP is the two zeros, and what is wrong.
func TestChecksumsOfUDP(t *testing.T) {
	for _, s := range scenes(wire.ProtoUDP, true) {
		stored := func(b []byte) uint16 { return binary.BigEndian.Uint16(b[len(b)-len("question")-2:]) }
		set := func(b []byte, v uint16) []byte {
			binary.BigEndian.PutUint16(b[len(b)-len("question")-2:], v)
			return b
		}
		b := set(s.near(), 0)
		if s.forward(b, s.lan, s.wan); stored(b) != 0 {
			t.Errorf("%s: no checksum becomes %#x", s.client, stored(b))
		}
		// Wrong by one before, wrong by one behind.
		right := s.near()
		s.forward(right, s.lan, s.wan)
		if !s.p.L4ChecksumOK() {
			t.Errorf("%s: a right checksum becomes wrong", s.client)
		}
		b = s.near()
		b = set(b, stored(b)+1)
		s.forward(b, s.lan, s.wan)
		if got, want := stored(b), stored(right)+1; got != want {
			t.Errorf("%s: a checksum wrong by one becomes %#x, want %#x", s.client, got, want)
		}
		// The one word that makes the checksum come out as zero.
		sum := stored(segment(wire.ProtoUDP, s.nat, s.server, 7000, 53, append([]byte("questi"), 0, 0)))
		word := []byte{byte(sum >> 8), byte(sum)}
		b = segment(wire.ProtoUDP, s.client, s.server, 5000, 53, append([]byte("questi"), word...))
		if s.forward(b, s.lan, s.wan); stored(b) != 0xffff {
			t.Errorf("%s: the checksum zero is stored as %#x", s.client, stored(b))
		}
	}
}

// FuzzError gives the translator whatever claims to be an error about a
// translated connection: it never panics, never changes the length, and what
// passes has a right ICMP checksum.
func FuzzError(f *testing.F) {
	for _, snat := range []bool{true, false} {
		for _, s := range scenes(wire.ProtoUDP, snat) {
			f.Add(snat, byte(3), false, complaint(s.hop, s.nat, s.typ, 1, s.far(snat)))
			f.Add(snat, byte(2), true, complaint(s.hop, s.client, s.redirect, 0, s.far(snat)))
		}
	}
	protos := []uint8{wire.ProtoICMP, wire.ProtoICMP6, wire.ProtoTCP, wire.ProtoUDP, wire.ProtoUDPLite, wire.ProtoSCTP, wire.ProtoGRE, 253}
	f.Fuzz(func(t *testing.T, snat bool, proto byte, sum bool, data []byte) {
		var p packet.Packet
		if packet.Parse(data, &p) != nil || p.Proto != wire.ICMPOf(p.Src().IP(p.Family)) || p.L4 < 0 || len(p.Data) < p.L4+8 {
			return
		}
		if sum { // the checksum that it needs
			p.FixL4Checksum()
		}
		for _, s := range scenes(wire.ProtoUDP, snat) {
			if familyOf(s.client) != p.Family {
				continue
			}
			var conn *conntrack.Conn
			s.env.CT.Each(s.now, func(c *conntrack.Conn) bool { conn = c; return true })
			if conn == nil {
				continue
			}
			// Whatever protocol it quotes.
			of := protos[int(proto)%len(protos)]
			conn.Tuple[0].Proto, conn.Tuple[1].Proto = of, of
			for _, info := range []conntrack.Info{conntrack.InfoRelated, conntrack.InfoRelatedReply} {
				for _, point := range []hook.Point{hook.Prerouting, hook.Input, hook.Output, hook.Postrouting} {
					q := p
					q.Data = bytes.Clone(p.Data)
					s.t = hook.Traversal{Pkt: &q, Env: &s.env, Point: point, Now: s.now, CT: conntrack.Ref{Conn: conn, Info: info}}
					v := Hook(&s.t, pass)
					if len(q.Data) != len(p.Data) {
						t.Fatal("the length changed")
					}
					switch v {
					case hook.Drop:
						if s.t.Why == hook.NoReason {
							t.Fatal("a drop without a reason")
						}
					case hook.Accept:
						if q.Reparse(); !q.L4ChecksumOK() && p.L4ChecksumOK() {
							t.Fatalf("the checksum is wrong: %x to %x", p.Data, q.Data)
						}
					default:
						t.Fatalf("%v", v)
					}
				}
			}
		}
	})
}

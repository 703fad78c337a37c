package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
)

const gatewayRules = `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
`

// gateway is a masquerading router: lan0 192.0.2.1/24, wan0 203.0.113.2/24.
func gateway(t testing.TB, rules string) *Machine {
	t.Helper()
	lan := &iface.Iface{Index: 2, Name: "lan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}}
	wan := &iface.Iface{Index: 3, Name: "wan0", MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("203.0.113.2/24")}}}
	m, errs := New(Config{
		Ifaces: []*iface.Iface{lan, wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast}},
		Rules4: Text{"gateway", []byte(rules)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.netfilter.nf_conntrack_max": "0"},
		Seed:   1,
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return m
}

// ip4 builds a packet with correct checksums.
func ip4(src, dst string, proto uint8, l4 []byte) []byte {
	d := make([]byte, 20, 20+len(l4))
	d[0], d[8], d[9] = 0x45, 64, proto
	s, e := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(d[12:], s[:])
	copy(d[16:], e[:])
	d = append(d, l4...)
	binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
	binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:20]))
	var p packet.Packet
	if packet.Parse(d, &p) == nil {
		p.FixL4Checksum()
	}
	return d
}

func udp(sport, dport uint16, n int) []byte {
	b := make([]byte, 8+n)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint16(b[4:], uint16(8+n))
	return b
}

func tcp(sport, dport uint16, seq, ack uint32, flags uint8, win uint16) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], win)
	return b
}

func TestMasqueradeThereAndBack(t *testing.T) {
	m := gateway(t, gatewayRules)
	lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
	r := m.Receive(lan, packet.Link{}, ip4("192.0.2.10", "198.51.100.1", packet.UDP, udp(4000, 53, 4)), 1e18)
	if r.Verdict != Forwarded || len(r.Out) != 1 || r.Out[0].Dev != wan {
		t.Fatalf("out: %+v", r)
	}
	var p packet.Packet
	if err := packet.Parse(r.Out[0].Data, &p); err != nil {
		t.Fatal(err)
	}
	if p.Src() != (packet.Addr{203, 0, 113, 2}) || p.TTL() != 63 || !p.L4ChecksumOK() {
		t.Fatalf("leaves as %x", p.Data)
	}
	r = m.Receive(wan, packet.Link{}, ip4("198.51.100.1", "203.0.113.2", packet.UDP, udp(53, 4000, 4)), 1e18+1)
	if r.Verdict != Forwarded || len(r.Out) != 1 || r.Out[0].Dev != lan {
		t.Fatalf("back: %+v", r)
	}
	if err := packet.Parse(r.Out[0].Data, &p); err != nil || p.Dst() != (packet.Addr{192, 0, 2, 10}) || !p.L4ChecksumOK() {
		t.Fatalf("comes back as %x (%v)", p.Data, err)
	}
	r = m.Receive(wan, packet.Link{}, ip4("198.51.100.9", "192.0.2.10", packet.UDP, udp(53, 4000, 4)), 1e18+2)
	if r.Verdict != Dropped || r.Reason != hook.ReasonPolicy {
		t.Errorf("a stranger's packet: %s %s", r.Verdict, r.Reason)
	}
	if m.Drops()[hook.ReasonPolicy] != 1 {
		t.Error("the drop was not counted")
	}
}

func TestTheZeroMachineDrops(t *testing.T) {
	var m Machine
	r := m.Receive(&iface.Iface{Name: "lan0"}, packet.Link{}, ip4("192.0.2.10", "198.51.100.1", packet.UDP, udp(1, 2, 0)), 0)
	if r.Verdict != Dropped || len(r.Out) != 0 {
		t.Errorf("got %+v", r)
	}
}

// flow is both directions of an established connection.
type flow struct{ there, back []byte }

// establish makes n connections and returns packets of both directions.
func establish(tb testing.TB, m *Machine, n int, proto uint8) []flow {
	lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
	flows := make([]flow, n)
	l4 := func(sport, dport uint16, seq, ack uint32, flags uint8) []byte {
		if proto == packet.UDP {
			return udp(sport, dport, 36)
		}
		return tcp(sport, dport, seq, ack, flags, 65535)
	}
	for i := range flows {
		src := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i%200)}).String()
		dst := netip.AddrFrom4([4]byte{198, 51, byte(100 + i/200/250), byte(i / 200 % 250)}).String()
		port := uint16(1024 + i%60000)
		step := func(in *iface.Iface, d []byte) []byte {
			r := m.Receive(in, packet.Link{}, d, 1e18)
			if r.Verdict != Forwarded {
				tb.Fatalf("flow %d: %s %s", i, r.Verdict, r.Reason)
			}
			return r.Out[0].Data
		}
		out := step(lan, ip4(src, dst, proto, l4(port, 443, 1000, 0, packet.TCPSyn)))
		outside := binary.BigEndian.Uint16(out[20:])
		step(wan, ip4(dst, "203.0.113.2", proto, l4(443, outside, 5000, 1001, packet.TCPSyn|packet.TCPAck)))
		flows[i] = flow{
			there: ip4(src, dst, proto, l4(port, 443, 1001, 5001, packet.TCPAck)),
			back:  ip4(dst, "203.0.113.2", proto, l4(443, outside, 5001, 1001, packet.TCPAck)),
		}
		step(lan, append([]byte(nil), flows[i].there...))
	}
	return flows
}

func TestEstablishedPacketsDoNotAllocate(t *testing.T) {
	for _, proto := range []uint8{packet.UDP, packet.TCP} {
		m := gateway(t, gatewayRules)
		f := establish(t, m, 10, proto)
		lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
		buf := make([]byte, 128)
		i := 0
		if n := testing.AllocsPerRun(1000, func() {
			m.Receive(lan, packet.Link{}, buf[:copy(buf, f[i%10].there)], 1e18+1)
			m.Receive(wan, packet.Link{}, buf[:copy(buf, f[i%10].back)], 1e18+1)
			i++
		}); n != 0 {
			t.Errorf("protocol %d: %v allocations for two packets", proto, n)
		}
	}
}

func BenchmarkEstablished(b *testing.B) {
	for _, proto := range []uint8{packet.UDP, packet.TCP} {
		for _, n := range []int{1000, 100000} {
			name := map[uint8]string{packet.UDP: "udp", packet.TCP: "tcp"}[proto] + "/" + map[int]string{1000: "1k", 100000: "100k"}[n]
			b.Run(name, func(b *testing.B) {
				m := gateway(b, gatewayRules)
				f := establish(b, m, n, proto)
				lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
				buf := make([]byte, 128)
				r := NewRand(7)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					x := &f[r.Uint32()%uint32(n)]
					if i&1 == 0 {
						m.Receive(lan, packet.Link{}, buf[:copy(buf, x.there)], 1e18+1)
					} else {
						m.Receive(wan, packet.Link{}, buf[:copy(buf, x.back)], 1e18+1)
					}
				}
			})
		}
	}
}

func BenchmarkEstablishedBatch(b *testing.B) {
	for _, proto := range []uint8{packet.UDP, packet.TCP} {
		for _, n := range []int{1000, 100000, 1000000} {
			name := map[uint8]string{packet.UDP: "udp", packet.TCP: "tcp"}[proto] + "/" + map[int]string{1000: "1k", 100000: "100k", 1000000: "1M"}[n]
			b.Run(name, func(b *testing.B) {
				m := gateway(b, gatewayRules)
				f := establish(b, m, n, proto)
				ifs := [2]*iface.Iface{m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")}
				buf := make([]byte, 64*128)
				in := make([]Arrival, 64)
				var res []Result
				r := NewRand(7)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += len(in) {
					for j := range in {
						x := &f[r.Uint32()%uint32(n)]
						d := buf[j*128 : j*128+128]
						if j&1 == 0 {
							d = d[:copy(d, x.there)]
						} else {
							d = d[:copy(d, x.back)]
						}
						in[j] = Arrival{In: ifs[j&1], Data: d}
					}
					res = m.ReceiveBatch(in, 1e18+1, res)
				}
			})
		}
	}
}

func BenchmarkNewConnection(b *testing.B) {
	m := gateway(b, gatewayRules)
	lan := m.Ifaces().Name("lan0")
	d := ip4("192.0.2.10", "198.51.100.1", packet.UDP, udp(1, 443, 36))
	d[26], d[27] = 0, 0
	buf := make([]byte, 128)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		n := copy(buf, d)
		binary.BigEndian.PutUint16(buf[20:], uint16(i))
		binary.BigEndian.PutUint16(buf[22:], uint16(i>>16)+1)
		m.Receive(lan, packet.Link{}, buf[:n], 1e18+int64(i))
	}
}

package corpus

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/linuxdiff"
	"weir/internal/wire"
	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

var (
	devWord  = regexp.MustCompile(`-[io] (\S+)`)
	addrWord = regexp.MustCompile(`(?:-[sd]|--to-(?:source|destination)|--(?:src|dst)-range) (\S+)`)
	portWord = regexp.MustCompile(`--(?:dport|sport|dports|sports|ports|to-ports) (\S+)`)
)

// material is what the rules of a file talk about.
type material struct {
	six   bool
	devs  []string
	addrs []netip.Addr
	ports []uint16
}

// materialOf collects names, addresses and ports, and those just beside them.
func materialOf(rules string, six bool) material {
	m := material{six: six}
	seen := map[string]bool{"lo": true}
	for _, w := range devWord.FindAllStringSubmatch(rules, -1) {
		name := strings.Replace(w[1], "+", "0", 1)
		if !seen[name] && len(m.devs) < 4 && len(name) < 16 && name != "" {
			seen[name] = true
			m.devs = append(m.devs, name)
		}
	}
	for _, name := range []string{"net1", "net2"} {
		m.devs = append(m.devs, name)
	}
	for _, w := range addrWord.FindAllStringSubmatch(rules, -1) {
		for _, part := range strings.FieldsFunc(w[1], func(r rune) bool { return r == ',' || r == '-' }) {
			part, _, _ = strings.Cut(part, "/")
			a, err := netip.ParseAddr(part)
			if err != nil || a.Is6() != six || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || len(m.addrs) > 200 {
				continue
			}
			m.addrs = append(m.addrs, a, a.Next())
		}
	}
	for _, w := range portWord.FindAllStringSubmatch(rules, -1) {
		for _, part := range strings.FieldsFunc(w[1], func(r rune) bool { return r == ',' || r == ':' || r == '-' }) {
			if n, err := strconv.ParseUint(part, 10, 16); err == nil && len(m.ports) < 200 {
				m.ports = append(m.ports, uint16(n), uint16(n+1))
			}
		}
	}
	m.ports = append(m.ports, 22, 80, 65535)
	if six {
		m.addrs = append(m.addrs, netip.MustParseAddr("2001:db8:9::1"), netip.MustParseAddr("2001:db8:1:1::5"))
	} else {
		m.addrs = append(m.addrs, netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("192.0.2.5"))
	}
	return m
}

// machine has an interface for each name and routes everything by the last.
func (m *material) machine() gen.Machine {
	mm := gen.Machine{Sysctl: map[string]string{}}
	for i, name := range m.devs {
		mm.Ifaces = append(mm.Ifaces, kernel.Iface{Name: name, MTU: 1500, Addrs: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + 32*i)}), 27),
			netip.PrefixFrom(netip.MustParseAddr("2001:db8:1:"+strconv.Itoa(i+1)+"::1"), 64),
		}})
	}
	last := m.devs[len(m.devs)-1]
	mm.Routes = []kernel.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Dev: last}, {To: netip.MustParsePrefix("::/0"), Dev: last}}
	return mm
}

// traffic draws packets from what the rules talk about. local allows packets
// of the machine itself, of which only TRACE tells whether a hook saw them.
func (m *material) traffic(r *rand.Rand, n int, local bool) (list []gen.Packet) {
	addr := func() netip.Addr { return m.addrs[r.IntN(len(m.addrs))] }
	port := func() uint16 { return m.ports[r.IntN(len(m.ports))] }
	for len(list) < n {
		src, dst, sport, dport := addr(), addr(), uint16(1024+r.IntN(8)), port()
		if r.IntN(4) == 0 {
			sport, dport = dport, sport
		}
		dev := m.devs[r.IntN(len(m.devs))]
		var l4 []byte
		proto := uint8(packet.TCP)
		switch r.IntN(8) {
		case 0, 1, 2:
			proto = packet.UDP
			l4 = wire.Datagram(wire.ProtoUDP, src, dst, sport, dport, make([]byte, r.IntN(60)))
		case 3:
			proto = packet.ICMP
			typ := uint8(8)
			if m.six {
				proto, typ = packet.ICMPv6, 128
			}
			l4 = wire.ICMP(src, dst, typ, 0, uint32(sport)<<16|1, make([]byte, r.IntN(60)))
		default:
			l4 = make([]byte, 20)
			l4[0], l4[1], l4[2], l4[3] = byte(sport>>8), byte(sport), byte(dport>>8), byte(dport)
			l4[12], l4[13], l4[14] = 5<<4, []byte{packet.TCPSyn, packet.TCPSyn, packet.TCPAck, packet.TCPRst, packet.TCPFin | packet.TCPAck}[r.IntN(5)], 16
		}
		d := wire.IP{Src: src, Dst: dst, Proto: proto, TTL: uint8(2 + r.IntN(200)), ID: uint16(0x8000 + len(list))}.Packet(l4)
		var p packet.Packet
		if packet.Parse(d, &p) == nil {
			p.FixL4Checksum()
		}
		if local && r.IntN(6) == 0 {
			dev = gen.Local
		}
		list = append(list, gen.Packet{In: dev, Data: d})
	}
	return list
}

// familyOf is the family of a rule set, which its name tells.
func familyOf(name string) packet.Family {
	if strings.Contains(name, "ip6tables") || strings.HasSuffix(name, "-v6.rules") || strings.Contains(name, "aud6") || strings.Contains(name, "-ipv6-localhost") {
		return packet.IPv6
	}
	return packet.IPv4
}

// TestRuleSetsThroughTheKernel lets the kernel and weir decide traffic under
// real rule sets.
func TestRuleSetsThroughTheKernel(t *testing.T) {
	d := dir(t, "rulesets")
	if k, err := kernel.New(kernel.Config{}); err != nil {
		if errors.Is(err, kernel.ErrUnavailable) && os.Getenv("WEIR_REQUIRE_KERNEL") != "1" {
			t.Skip(err)
		}
		t.Fatal(err)
	} else {
		k.Close()
	}
	files, _ := filepath.Glob(filepath.Join(d, "*.rules"))
	if len(files) == 0 {
		t.Fatal("no rule sets")
	}
	packets, sets := 0, 0
	for _, file := range files {
		name := filepath.Base(file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		f := familyOf(name)
		six := f == packet.IPv6
		if _, errs := save.Parse(name, b, f, std.List()); len(errs) > 0 {
			t.Logf("left out: %v", errs[0])
			continue
		}
		if strings.Contains(text, "--mode random") {
			t.Logf("left out: %s: what it decides is chance", name)
			continue
		}
		sets++
		t.Run(name, func(t *testing.T) {
			r := linuxdiff.NewRunner()
			defer r.Close()
			for seed := range uint64(3) {
				m := materialOf(text, six)
				c := gen.Case{Machine: m.machine(), Packets: m.traffic(rand.New(rand.NewPCG(seed, 7)), 400, !strings.Contains(text, "*raw"))}
				packets += len(c.Packets)
				if six {
					c.Rules4, c.Rules6 = whole(""), whole(text)
				} else {
					c.Rules4, c.Rules6 = whole(text), whole("")
				}
				rep, err := r.Replay(&c)
				if err == nil && rep.Diff != nil {
					// The kernel's own multicast reports are counted too.
					rep, err = r.Replay(&c)
				}
				if err != nil {
					t.Fatal(err)
				}
				if rep.Diff != nil {
					in := ""
					if i := rep.Diff.Packet; i < len(c.Packets) {
						in = c.Packets[i].In + " " + linuxdiff.Brief(c.Packets[i].Data)
					}
					t.Fatalf("seed %d: %s\n%s", seed, in, rep.Diff)
				}
			}
		})
	}
	t.Logf("%d rule sets, %d packets", sets, packets)
}

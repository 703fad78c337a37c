package nat_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weir/conntrack"
	"weir/engine"
	"weir/iface"
	"weir/internal/gen"
	"weir/internal/wire"
	"weir/packet"
	"weir/route"
	"weir/trace"
)

// dice answers every random choice with the next of a list and remembers what
// was asked.
type dice struct {
	list  []uint32
	asked []string
}

func (d *dice) Uint32() uint32 { return 0 }

func (d *dice) PortOffset(lo, size uint32, _ bool) uint32 {
	d.asked = append(d.asked, fmt.Sprintf("%d+%d", lo, size))
	if len(d.list) == 0 {
		return 0
	}
	v := d.list[0]
	d.list = d.list[1:]
	return v
}

// box is weir as the router of the tests.
type box struct {
	*engine.Machine
	t     *testing.T
	dice  *dice
	clock int64
}

func newBox(t *testing.T, rules string, offsets ...uint32) *box {
	t.Helper()
	return newBoxOf(t, both(rules), offsets...)
}

func newBoxOf(t *testing.T, c *gen.Case, offsets ...uint32) *box {
	t.Helper()
	d := &dice{list: offsets}
	cfg := engine.Config{
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(c.Rules4)}, Rules6: engine.Text{Name: "rules.v6", Text: []byte(c.Rules6)},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.netfilter.nf_conntrack_acct": "1"},
		Rand:   d,
	}
	byName := map[string]*iface.Iface{}
	for n, i := range c.Machine.Ifaces {
		f := &iface.Iface{Index: n + 2, Name: i.Name, MTU: i.MTU}
		for _, a := range i.Addrs {
			f.Addrs = append(f.Addrs, iface.Addr{Prefix: a})
		}
		byName[i.Name] = f
		cfg.Ifaces = append(cfg.Ifaces, f)
	}
	for _, r := range c.Machine.Routes {
		cfg.Routes = append(cfg.Routes, route.Route{To: r.To, Via: r.Via, Dev: byName[r.Dev], Type: route.Unicast})
	}
	m, errs := engine.New(cfg)
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	return &box{Machine: m, t: t, dice: d, clock: 1_700_000_000e9}
}

// send lets a packet arrive and returns what became of it.
func (b *box) send(dev string, data []byte) engine.Result {
	b.clock += 1e6
	return b.Receive(b.Ifaces().Name(dev), packet.Link{}, slices.Clone(data), b.clock)
}

// told is a result in words: the addresses and ports of what left, or the
// reason of the drop.
func told(r engine.Result) string {
	if len(r.Out) == 0 {
		return string(r.Verdict) + " " + r.Reason.String()
	}
	var list []string
	for _, o := range r.Out {
		v, ok := wire.Parse(o.Data)
		if !ok {
			return "not a packet"
		}
		var p packet.Packet
		if err := packet.Parse(o.Data, &p); err != nil || !p.L4ChecksumOK() {
			list = append(list, fmt.Sprintf("broken (%v)", err))
			continue
		}
		a, c := v.Ports()
		switch v.Proto {
		case wire.ProtoICMP, wire.ProtoICMP6:
			list = append(list, fmt.Sprintf("%s id %d > %s", v.Src, int(v.L4[4])<<8|int(v.L4[5]), v.Dst))
		default:
			list = append(list, netip.AddrPortFrom(v.Src, a).String()+" > "+netip.AddrPortFrom(v.Dst, c).String())
		}
	}
	return strings.Join(list, ", ")
}

// TestChoices is which mapping is chosen, with the random choices given. Each
// row holds in both families; what is expected has the addresses of families.
func TestChoices(t *testing.T) {
	const udp, tcp, sctp = wire.ProtoUDP, wire.ProtoTCP, wire.ProtoSCTP
	const icmp = 255 // of the family
	type step struct {
		proto  uint8
		source int // 0: lan, 1: lan2, 2 and on: others
		sport  uint16
		dport  uint16
		want   string // "PORT" of the source, "> PORT" of the destination, or a drop
	}
	const snat, dnat = "-A POSTROUTING -o wan0 -p %s -j SNAT --to-source {[nat]}:%s", "-A PREROUTING -i lan0 -p %s -j DNAT --to-destination {[real]}:%s"
	const plain = "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}"
	for _, c := range []struct {
		name    string
		rules   string
		offsets []uint32
		steps   []step
		asked   string // where random choices began
		found   uint64 // candidates that were taken
	}{
		{"of two ports the third source gets none", fmt.Sprintf(snat, "udp", "7000-7001"), []uint32{1, 1, 0},
			[]step{{udp, 0, 5000, 53, "7001"}, {udp, 1, 5000, 53, "7000"}, {udp, 2, 5000, 53, "drop clash"}}, "7000+2 7000+2 7000+2", 3},
		{"ports are used again for another port of the server", fmt.Sprintf(snat, "udp", "7000-7001"), []uint32{0, 0, 1},
			[]step{{udp, 0, 5000, 53, "7000"}, {udp, 1, 5000, 53, "7001"}, {udp, 2, 5000, 54, "7001"}}, "7000+2 7000+2 7000+2", 1},
		{"a port in the range stays", fmt.Sprintf(snat, "udp", "9000-9009"), nil,
			[]step{{udp, 0, 9003, 53, "9003"}}, "", 0},
		{"one socket keeps its port for another destination", fmt.Sprintf(snat, "udp", "9000-9009"), []uint32{0, 5},
			[]step{{udp, 0, 1, 53, "9000"}, {udp, 0, 1, 54, "9000"}, {udp, 0, 2, 54, "9005"}}, "9000+10 9000+10", 0},
		{"a random start wraps in the range", fmt.Sprintf(snat, "udp", "9000-9009"), []uint32{65535},
			[]step{{udp, 0, 1, 53, "9005"}}, "9000+10", 0},
		{"the second of two equal ports gets another of its class", plain, []uint32{100},
			[]step{{udp, 0, 5000, 53, "5000"}, {udp, 1, 5000, 53, "1124"}}, "1024+64512", 1},
		{"below 512", plain, []uint32{510, 511},
			[]step{{tcp, 0, 511, 53, "511"}, {tcp, 1, 511, 53, "1"}, {tcp, 2, 1, 53, "2"}}, "1+511 1+511", 4},
		{"from 512 to 1023", plain, []uint32{0, 423},
			[]step{{tcp, 0, 512, 53, "512"}, {tcp, 1, 512, 53, "600"}, {tcp, 0, 1023, 53, "1023"}, {tcp, 1, 1023, 53, "601"}}, "600+424 600+424", 0},
		{"from 1024", plain, []uint32{64511},
			[]step{{sctp, 0, 1024, 53, "1024"}, {sctp, 1, 1024, 53, "65535"}}, "1024+64512", 0},
		{"pings share no id", plain, []uint32{4, 5},
			[]step{{icmp, 0, 5, 0, "5"}, {icmp, 1, 5, 0, "4"}, {icmp, 2, 5, 0, "6"}}, "0+65536 0+65536", 0},
		{"--random keeps nothing", plain + " --random", []uint32{3, 3, 3},
			[]step{{udp, 0, 5000, 53, "1027"}, {udp, 0, 300, 53, "4"}, {udp, 0, 700, 53, "603"}}, "1024+64512 1+511 600+424", 0},
		{"--random-fully does the same", plain + " --random-fully", []uint32{3},
			[]step{{udp, 0, 5000, 53, "1027"}}, "1024+64512", 0},
		{"--random does not ask what the source has already", plain + " --random", []uint32{3, 9},
			[]step{{udp, 0, 5000, 53, "1027"}, {udp, 0, 5000, 54, "1033"}}, "1024+64512 1024+64512", 0},
		{"DNAT ranges begin at the first port", fmt.Sprintf(dnat, "udp", "8000-8002"), nil,
			[]step{{udp, 0, 1, 53, "> 8000"}, {udp, 1, 1, 53, "> 8000"}, {udp, 0, 1, 54, "> 8001"}, {udp, 0, 1, 55, "> 8002"}}, "", 3},
		{"DNAT keeps a port in the range", fmt.Sprintf(dnat, "udp", "50-60"), nil,
			[]step{{udp, 0, 1, 53, "> 53"}}, "", 0},
		{"DNAT with a base port", fmt.Sprintf(dnat, "udp", "8000-8010/50"), nil,
			[]step{{udp, 0, 1, 50, "> 8000"}, {udp, 0, 1, 53, "> 8003"}, {udp, 0, 1, 60, "> 8010"}, {udp, 1, 1, 61, "> 8000"}, {udp, 1, 1, 49, "> 8008"}}, "", 0},
		{"DNAT --random", fmt.Sprintf(dnat, "udp", "8000-8009") + " --random", []uint32{7},
			[]step{{udp, 0, 1, 53, "> 8007"}}, "8000+10", 0},
		{"DNAT to a taken pair: the source port gives way", fmt.Sprintf(dnat, "udp", "8000"), []uint32{9},
			[]step{{udp, 0, 400, 53, "> 8000"}, {udp, 0, 400, 54, "10 > 8000"}}, "1+511", 0},
	} {
		for i, f := range families {
			t.Run(c.name+" "+f.name, func(t *testing.T) {
				b := newBox(t, c.rules, c.offsets...)
				for n, s := range c.steps {
					fl := flow{s.proto, fmt.Sprintf([]string{"192.0.2.%d", "2001:db8:1::%d"}[i], 10+s.source), f.server, s.sport, s.dport}
					if s.proto == icmp {
						fl.proto = f.icmp
					}
					far := fl
					want, _, _ := strings.Cut(s.want, " ")
					var text string
					switch {
					case want == "drop":
						text = s.want
					case s.proto == icmp:
						text = fmt.Sprintf("%s id %s > %s", f.nat, want, f.server)
					case strings.Contains(c.rules, "DNAT"):
						sport, dport, _ := strings.Cut(s.want, "> ")
						if sport = strings.TrimSpace(sport); sport == "" {
							sport = fmt.Sprint(s.sport)
						}
						text = join(fl.src, sport) + " > " + join(f.realServer, dport)
					default:
						text = join(f.nat, want) + " > " + join(far.dst, fmt.Sprint(s.dport))
					}
					if got := told(b.send("lan0", fl.packet(1))); got != text {
						t.Fatalf("packet %d: %s, want %s", n+1, got, text)
					}
				}
				if got := strings.Join(b.dice.asked, " "); got != c.asked {
					t.Errorf("random choices in %s, want %s", got, c.asked)
				}
				if got := b.Conntrack().Stats().Found; c.found != 0 && got != c.found {
					t.Errorf("found %d, want %d", got, c.found)
				}
			})
		}
	}
}

// join is ADDRESS:PORT.
func join(addr, port string) string {
	a := ip(addr)
	if a.Is6() {
		return "[" + a.String() + "]:" + port
	}
	return a.String() + ":" + port
}

// TestTimeWaitIsEvicted is a range of one port that a closed connection has.
func TestTimeWaitIsEvicted(t *testing.T) {
	for _, f := range families {
		for _, c := range []struct {
			name string
			upTo int // packets of the old connection
			seq  uint32
			want string
		}{
			{"a later SYN takes the port of a connection in TIME_WAIT", 6, 9000, join(f.nat, "7000") + " > " + join(f.server, "80")},
			{"an earlier SYN does not", 6, 500, "drop clash"},
			{"an established connection keeps its port", 3, 9000, "drop clash"},
			{"nor does one that would keep its port: nothing is searched", 6, 9000, "drop clash"},
		} {
			t.Run(c.name+" "+f.name, func(t *testing.T) {
				b := newBox(t, "-A POSTROUTING -o wan0 -p tcp -j SNAT --to-source {[nat]}:7000")
				old := flow{wire.ProtoTCP, f.lan, f.server, 5000, 80}
				for _, p := range talk(old, old.via(f.nat, 7000))[:c.upTo] {
					if r := b.send(p.In, p.Data); len(r.Out) != 1 {
						t.Fatalf("the old connection: %s", told(r))
					}
				}
				found, sport := b.Conntrack().Stats().Found, uint16(6000)
				if strings.HasPrefix(c.name, "nor") {
					sport = 7000
				}
				if got := told(b.send("lan0", flow{wire.ProtoTCP, f.lan2, f.server, sport, 80}.tcp(wire.SYN, c.seq, 0))); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if got := b.Conntrack().Stats().Found; got != found {
					t.Errorf("the harder test counts as found: %d", got-found)
				}
			})
		}
	}
}

// TestTheSearchGivesUp counts the candidates of a search in a class of 511
// ports when each round begins at the same one: 128, 64, 32, 16, 8.
func TestTheSearchGivesUp(t *testing.T) {
	b := newBox(t, "-A POSTROUTING -o wan0 -j SNAT --to-source {nat} --random")
	source := func(n int) []byte {
		return flow{wire.ProtoUDP, fmt.Sprintf("192.0.2.%d", 10+n), families[0].server, 300, 53}.packet(1)
	}
	for n := range 128 {
		if got, want := told(b.send("lan0", source(n))), fmt.Sprintf("203.0.113.40:%d > 198.51.100.10:53", 1+n); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	before := b.Conntrack().Stats()
	b.dice.asked = nil
	if got := told(b.send("lan0", source(128))); got != "drop clash" {
		t.Error(got)
	}
	after := b.Conntrack().Stats()
	if got := after.Found - before.Found; got != 128+64+32+16+8 {
		t.Errorf("%d candidates", got)
	}
	if len(b.dice.asked) != 5 || after.InsertFailed != before.InsertFailed+1 || after.Drop != before.Drop+1 {
		t.Errorf("%d rounds, before %+v, after %+v", len(b.dice.asked), before, after)
	}
}

// TestAReopenedConnectionSearchesAnew is a SYN that ends a connection in
// TIME_WAIT and begins another with the same tuple: the mapping of the one
// that ended is not kept.
func TestAReopenedConnectionSearchesAnew(t *testing.T) {
	f := families[0]
	b := newBox(t, "-A POSTROUTING -o wan0 -p tcp -j SNAT --to-source {[nat]}:9000-9009", 3, 8)
	fl := flow{wire.ProtoTCP, f.lan, f.server, 1, 80}
	for _, p := range talk(fl, fl.via(f.nat, 9003)) {
		if r := b.send(p.In, p.Data); len(r.Out) != 1 {
			t.Fatal(told(r))
		}
	}
	if got, want := told(b.send("lan0", fl.tcp(wire.SYN, 70000, 0))), "203.0.113.40:9008 > 198.51.100.10:80"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestNullBindings is connections that no rule translates.
func TestNullBindings(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			b := newBox(t, "-A POSTROUTING -s {lan} -o wan0 -j SNAT --to-source {lan2}", 77)
			b.send("lan0", flow{wire.ProtoUDP, f.lan, f.server, 5000, 53}.packet(1))
			b.Trace(true)
			r := b.send("lan0", flow{wire.ProtoUDP, f.lan2, f.server, 5000, 53}.packet(1))
			if got, want := told(r), join(f.lan2, "1101")+" > "+join(f.server, "53"); got != want {
				t.Errorf("the port that another has: %s, want %s", got, want)
			}
			if got, want := steps(r), []string{
				"destination stays (null binding)",
				join(f.lan2, "5000") + " -> " + join(f.lan2, "1101") + " (null binding: the answer's tuple was taken); port 5000 is taken, searched in 1024-65535 from a random one",
			}; !slices.Equal(got, want) {
				t.Errorf("steps %q, want %q", got, want)
			}
			r = b.send("lan0", flow{wire.ProtoUDP, f.lan2, f.server, 5001, 53}.packet(1))
			if got, want := steps(r), []string{"destination stays (null binding)", "source stays (null binding)"}; !slices.Equal(got, want) {
				t.Errorf("steps %q, want %q", got, want)
			}
			if c := r.CT.Conn; !c.Has(conntrack.NATDoneMask) || c.Status&conntrack.NATMask != 0 {
				t.Errorf("status %#x", c.Status)
			}
		})
	}
}

// steps is what NAT told of a packet.
func steps(r engine.Result) (list []string) {
	for _, s := range r.Steps {
		if s.Kind == trace.KindNAT {
			text := s.Text
			for _, d := range s.Detail {
				text += "; " + d.Value
			}
			list = append(list, text)
		}
	}
	return list
}

// TestTracesSayWhy is the words of a search.
func TestTracesSayWhy(t *testing.T) {
	udp := func(src string, sport, dport uint16) flow {
		return flow{wire.ProtoUDP, src, families[0].server, sport, dport}
	}
	for _, c := range []struct {
		name, rules string
		flows       []flow
		want        string // of the last
	}{
		{"a port that is free", "-A POSTROUTING -j SNAT --to-source {nat}", []flow{udp("192.0.2.10", 5000, 53)},
			"192.0.2.10:5000 -> 203.0.113.40:5000; port kept"},
		{"the mapping of the source", "-A POSTROUTING -p udp -j SNAT --to-source {[nat]}:900-909", []flow{udp("192.0.2.10", 5000, 53), udp("192.0.2.10", 5000, 54)},
			"192.0.2.10:5000 -> 203.0.113.40:900; the mapping that this source has already"},
		{"nothing is free", "-A POSTROUTING -p udp -j SNAT --to-source {[nat]}:900-900", []flow{udp("192.0.2.10", 5000, 53), udp("192.0.2.11", 5000, 53)},
			"192.0.2.11:5000 -> 203.0.113.40:900; 900 is the only port, and none is free"},
		{"from a base port", "-A PREROUTING -p udp -j DNAT --to-destination {[real]}:8000-8009/50", []flow{udp("192.0.2.10", 5000, 53)},
			"198.51.100.10:53 -> 198.51.100.20:8003; searched in 8000-8009 from where it is from 50"},
		{"protocols without a port", "-A POSTROUTING -j SNAT --to-source {nat}", []flow{{253, "192.0.2.10", "198.51.100.10", 0, 0}, {253, "192.0.2.11", "198.51.100.10", 0, 0}},
			"192.0.2.11 -> 203.0.113.40; taken, and nothing else may change"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, c.rules)
			b.Trace(true)
			var got []string
			for _, f := range c.flows {
				got = steps(b.send("lan0", f.packet(1)))
			}
			if !slices.Contains(got, c.want) {
				t.Errorf("steps %q, want one to be %q", got, c.want)
			}
		})
	}
}

// TestAddressOfARange is the address that Linux 6.18 chose of a range.
func TestAddressOfARange(t *testing.T) {
	for _, c := range []struct {
		addresses     string
		persistent    bool
		src, dst, nat string
	}{
		{"203.0.113.10-203.0.113.49", false, "192.0.2.10", "198.51.100.10", "203.0.113.11"},
		{"203.0.113.10-203.0.113.49", false, "192.0.2.10", "198.51.100.11", "203.0.113.18"},
		{"203.0.113.10-203.0.113.49", false, "192.0.2.11", "198.51.100.10", "203.0.113.22"},
		{"203.0.113.10-203.0.113.49", true, "192.0.2.10", "198.51.100.10", "203.0.113.44"},
		{"203.0.113.10-203.0.113.49", true, "192.0.2.10", "198.51.100.11", "203.0.113.44"},
		{"203.0.113.10-203.0.113.49", true, "192.0.2.11", "198.51.100.10", "203.0.113.37"},
		{"203.0.113.200-203.0.117.9", false, "192.0.2.10", "198.51.100.10", "203.0.113.224"},
		{"203.0.113.200-203.0.117.9", false, "192.0.2.10", "198.51.100.11", "203.0.114.111"},
		{"203.0.113.200-203.0.117.9", false, "192.0.2.11", "198.51.100.11", "203.0.115.98"},
		{"203.0.113.200-203.0.117.9", true, "192.0.2.10", "198.51.100.10", "203.0.116.159"},
		{"203.0.113.200-203.0.117.9", true, "192.0.2.11", "198.51.100.10", "203.0.116.1"},
		{"2001:db8:2::10-2001:db8:2::4f", false, "2001:db8:1::10", "2001:db8:9::10", "2001:db8:2::16"},
		{"2001:db8:2::10-2001:db8:2::4f", false, "2001:db8:1::10", "2001:db8:9:8:7:6:5:4", "2001:db8:2::26"},
		{"2001:db8:2::10-2001:db8:2::4f", false, "2001:db8:1:2:3:4:5:6", "2001:db8:9::10", "2001:db8:2::1a"},
		{"2001:db8:2::10-2001:db8:2::4f", true, "2001:db8:1::10", "2001:db8:9::10", "2001:db8:2::2b"},
		{"2001:db8:2::10-2001:db8:2::4f", true, "2001:db8:1::10", "2001:db8:9:8:7:6:5:4", "2001:db8:2::2b"},
		{"2001:db8:2::10-2001:db8:2:0:ffff:ffff:ffff:ffff", false, "2001:db8:1::10", "2001:db8:9::10", "2001:db8:2::1ada:240c"},
		{"2001:db8:2::10-2001:db8:2:0:ffff:ffff:ffff:ffff", false, "2001:db8:1:2:3:4:5:6", "2001:db8:9:8:7:6:5:4", "2001:db8:2::fa38:de88"},
		{"2001:db8:2::10-2001:db8:2:0:ffff:ffff:ffff:ffff", true, "2001:db8:1:2:3:4:5:6", "2001:db8:9::10", "2001:db8:2::e9b2:32ac"},
	} {
		t.Run(fmt.Sprintf("%s persistent %v %s to %s", c.addresses, c.persistent, c.src, c.dst), func(t *testing.T) {
			rule := "-A POSTROUTING -o wan0 -j SNAT --to-source " + c.addresses
			if c.persistent {
				rule += " --persistent"
			}
			m := router(rule, "")
			if ip(c.src).Is6() {
				m = router("", rule)
			}
			b := newBoxOf(t, m)
			if got, want := told(b.send("lan0", udp(c.src, 5000, c.dst, 53))), join(c.nat, "5000")+" > "+join(c.dst, "53"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// TestTracesSayWhyADropCame is the words of the drops.
func TestTracesSayWhyADropCame(t *testing.T) {
	f := families[0]
	fl := flow{wire.ProtoUDP, f.lan, f.server, 5000, 53}
	quote := fl.via(f.nat, 5000).packet(1, 2, 3)
	wrong := icmpError(f.hop, f.nat, 3, 1, 0, quote)
	wrong[len(wrong)-1] ^= 1
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"too short a quote", "ICMP error that quotes too little of a packet", icmpError(f.hop, f.nat, 3, 1, 0, quote[:24])},
		{"a redirect", "ICMP redirect about a translated connection", icmpError(f.hop, f.nat, 5, 1, 0, quote)},
		{"a wrong checksum", "ICMP error with a wrong checksum", wrong},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, "-A POSTROUTING -o wan0 -j SNAT --to-source {nat}")
			b.Conntrack().Config().Checksum = false
			b.send("lan0", fl.packet(1, 2, 3))
			b.Trace(true)
			r := b.send("wan0", c.data)
			if got := told(r); got != "drop nat-failed" {
				t.Error(got)
			}
			if got := steps(r); len(got) != 1 || got[0] != c.want {
				t.Errorf("steps %q, want %q", got, c.want)
			}
		})
	}
}

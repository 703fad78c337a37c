package engine

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/iface"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/packet"
	"weir/route"
	"weir/xtables/save"
	"weir/xtables/std"
)

// forms are the ways to walk the same rules; the first is the reference.
var forms = []struct {
	name                 string
	interpret, forgetful bool
}{
	{"rule by rule", true, true},
	{"classified", false, true},
	{"classified and remembered", false, false},
}

// load puts rules to use, every chain classified unless the machine interprets.
func load(t *testing.T, m *Machine, f packet.Family, rules string) {
	t.Helper()
	file, errs := save.Parse("rules", []byte(rules), f, std.List())
	if len(errs) == 0 {
		for _, tb := range file.Rules.Tables {
			tb.SwapCounters(nil)
		}
		file.Rules.Compile(true)
		errs = m.SetRules(file.Rules)
	}
	if len(errs) > 0 {
		t.Fatalf("%v\n%s", errs, rules)
	}
}

// TestClassifiedWalksAreTheSame runs random rules and traffic through all
// forms: fate, bytes, logs, connections and every counter must be equal.
func TestClassifiedWalksAreTheSame(t *testing.T) {
	for seed := range uint64(120) {
		g := gen.New(seed, gen.Options{NoTrace: true, Wait: true})
		var ms []*Machine
		for _, f := range forms {
			cfg := Config{Sysctl: maps.Clone(g.Case.Machine.Sysctl), Seed: seed, Forgetful: f.forgetful, Interpret: f.interpret}
			byName := map[string]*iface.Iface{}
			for n, i := range g.Case.Machine.Ifaces {
				dev := &iface.Iface{Index: n + 2, Name: i.Name, MTU: i.MTU}
				for _, a := range i.Addrs {
					dev.Addrs = append(dev.Addrs, iface.Addr{Prefix: a})
				}
				byName[i.Name] = dev
				cfg.Ifaces = append(cfg.Ifaces, dev)
			}
			types := map[string]route.Type{
				"": route.Unicast, "blackhole": route.Blackhole, "unreachable": route.Unreachable, "prohibit": route.Prohibit,
			}
			for _, r := range g.Case.Machine.Routes {
				cfg.Routes = append(cfg.Routes, route.Route{To: r.To, Via: r.Via, Dev: byName[r.Dev], Type: types[r.Type]})
			}
			m, errs := New(cfg)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			load(t, m, packet.IPv4, g.Case.Rules4)
			load(t, m, packet.IPv6, g.Case.Rules6)
			ms = append(ms, m)
		}
		now := int64(1e18)
		for i := range 150 {
			p := g.Next()
			now += int64(p.After) + 1e6
			var first Result
			for k, m := range ms {
				var r Result
				if d := bytes.Clone(p.Data); p.In == gen.Local {
					r = m.Send(d, nil, now)
				} else {
					r = m.Receive(m.Ifaces().Name(p.In), packet.Link{}, d, now)
				}
				if k == 0 {
					first = r
				} else if x, y := resultText(first), resultText(r); x != y {
					t.Fatalf("seed %d packet %d %s %x:\n%s: %s\n%s: %s", seed, i, p.In, p.Data, forms[0].name, x, forms[k].name, y)
				}
			}
			var out []kernel.Output
			for _, o := range first.Out {
				out = append(out, kernel.Output{Dev: o.Dev.Name, Data: bytes.Clone(o.Data)})
			}
			g.Observe(out)
		}
		same(t, ms, now, fmt.Sprint("seed ", seed))
	}
}

func same(t *testing.T, ms []*Machine, now int64, what string) {
	t.Helper()
	text := func(m *Machine) string {
		return state(m, now) + string(save.Append(nil, m.Rules(packet.IPv6), true))
	}
	first := text(ms[0])
	for k, m := range ms[1:] {
		if x := text(m); x != first {
			a, b := strings.Split(first, "\n"), strings.Split(x, "\n")
			for i := range a {
				if i < len(b) && a[i] != b[i] {
					t.Fatalf("%s: %s\n%s\n%s\n%s", what, forms[0].name, a[i], forms[k+1].name, b[i])
				}
			}
			t.Fatalf("%s: %s and %s differ", what, forms[0].name, forms[k+1].name)
		}
	}
}

// longRules makes chains that are long and in which most packets match a few
// rules, jumps with equal conditions among them. Without tracking, fragments
// come to the rules as they are.
func longRules(r *rand.Rand, tracked bool) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	not := func() string { return pick("", "", "", "", "! ") }
	net := func(lan bool) string {
		if lan {
			return pick("192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.8/30", "192.0.2.0/24", "192.0.2.99", "192.0.0.11/255.255.0.255", "0.0.0.0/0")
		}
		return pick("198.51.100.1", "198.51.100.0/28", "198.51.0.0/16", "198.51.100.2", "203.0.113.2", "0.0.0.1/0.0.0.1")
	}
	span := func() string {
		return pick("443", "442", "4000", "4001", "4000:4001", "0:1023", "1024:65535", ":443", "444:", "1000:9999", "3:40000")
	}
	in, out := true, true // which interfaces the table may ask for
	rule := func() string {
		var b strings.Builder
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, " %s-s %s", not(), net(r.IntN(3) > 0))
		}
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, " %s-d %s", not(), net(r.IntN(3) == 0))
		}
		if in && r.IntN(4) == 0 {
			fmt.Fprintf(&b, " %s-i %s", not(), pick("lan0", "wan0", "lan+", "wa+", "lan", "dmz0", "+"))
		}
		if out && r.IntN(6) == 0 {
			fmt.Fprintf(&b, " %s-o %s", not(), pick("lan0", "wan0", "w+", "wan01"))
		}
		if r.IntN(25) == 0 {
			b.WriteString(pick(" -f", " ! -f"))
		}
		switch r.IntN(5) {
		case 0:
			fmt.Fprintf(&b, " %s-p %s", not(), pick("tcp", "udp", "icmp", "47"))
		case 1, 2:
			p := pick("tcp", "udp")
			fmt.Fprintf(&b, " -p %s", p)
			if r.IntN(20) == 0 {
				b.WriteString(" -m statistic --mode nth --every 3 --packet 0")
			}
			if r.IntN(4) == 0 {
				fmt.Fprintf(&b, " -m multiport %s%s 7,%s,%d", not(), pick("--sports", "--dports", "--ports"), pick("443", "4000", "1000:5000"), r.IntN(2)*4001)
				break
			}
			fmt.Fprintf(&b, " -m %s", p)
			if r.IntN(2) == 0 {
				fmt.Fprintf(&b, " %s--sport %s", not(), span())
			}
			if r.IntN(2) == 0 {
				fmt.Fprintf(&b, " %s--dport %s", not(), span())
			}
			if p == "tcp" && r.IntN(6) == 0 {
				b.WriteString(pick(" --syn", " ! --syn", " --tcp-flags FIN FIN", " --tcp-option 2"))
			}
		}
		kind := r.IntN(12)
		if !tracked {
			kind = 3 + r.IntN(9)
		}
		switch kind {
		case 0, 1:
			fmt.Fprintf(&b, " -m conntrack %s--ctstate %s", not(), pick("NEW", "INVALID", "RELATED,ESTABLISHED", "ESTABLISHED", "NEW,SNAT", "UNTRACKED", "INVALID,NEW,RELATED,ESTABLISHED,UNTRACKED"))
		case 2:
			fmt.Fprintf(&b, " -m state %s--state %s", not(), pick("NEW", "ESTABLISHED", "INVALID,NEW"))
		case 3:
			b.WriteString(" -m length --length 0:45")
		case 4:
			b.WriteString(" -m mark --mark 0")
		case 5:
			b.WriteString(" -m limit --limit 100/sec")
		case 6:
			b.WriteString(" -m comment --comment \"nothing more\"")
		}
		return b.String()
	}
	var b strings.Builder
	table := func(name string, builtin []string, odd ...string) {
		in, out = name != "nat", name != "raw"
		last := "DROP"
		if name == "nat" {
			last = "RETURN"
		}
		fmt.Fprintf(&b, "*%s\n", name)
		const users = 8
		for u := range users {
			fmt.Fprintf(&b, ":Z%d -\n", u)
		}
		jumps := []string{rule(), rule(), " -s 192.0.2.0/24", " -p tcp", ""}
		chain := func(c string, deeper, n int) {
			for range n {
				x := rule()
				to := fmt.Sprint("Z", deeper+r.IntN(max(users-deeper, 1)))
				switch r.IntN(20) {
				default:
				case 0, 1, 2, 3:
					if deeper < users {
						x = jumps[r.IntN(len(jumps))] + " -j " + to
					}
				case 4, 5:
					if deeper < users {
						x += " -j " + to
					}
				case 6:
					if deeper < users && r.IntN(2) == 0 {
						x += " -g " + to
					}
				case 7:
					x += " -j RETURN"
				case 8:
					if r.IntN(4) == 0 {
						x += " -j " + pick("ACCEPT", last)
					}
				case 9:
					x += " -j " + pick(odd...)
				}
				fmt.Fprintf(&b, "-A %s%s\n", c, x)
			}
		}
		for _, c := range builtin {
			chain(c, 0, 30+r.IntN(60))
		}
		for u := range users {
			chain(fmt.Sprint("Z", u), u+1, 1+r.IntN(25))
		}
		b.WriteString("COMMIT\n")
	}
	if !tracked {
		table("mangle", []string{"FORWARD"}, "MARK --set-mark 1", "TTL --ttl-inc 1", "TOS --set-tos 4", "RETURN")
		table("filter", []string{"FORWARD"}, "REJECT", "LOG", "RETURN")
		return b.String()
	}
	table("raw", []string{"PREROUTING"}, "NOTRACK", "CT --zone 3", "ACCEPT")
	table("mangle", []string{"FORWARD"}, "MARK --set-mark 1", "TTL --ttl-inc 1", "CONNMARK --set-mark 3", "TOS --set-tos 4", "RETURN")
	table("nat", []string{"POSTROUTING"}, "MASQUERADE", "SNAT --to-source 203.0.113.7", "ACCEPT")
	table("filter", []string{"FORWARD"}, "REJECT", "LOG", "MARK --set-mark 2", "RETURN")
	return b.String()
}

func TestLongChainsAreWalkedTheSame(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		tracked, before := seed%3 > 0, ""
		if tracked {
			before = gatewayRules
		}
		rules := longRules(r, tracked)
		var ms []*Machine
		for _, f := range forms {
			m := gateway(t, before)
			m.interpret, m.memory.on = f.interpret, !f.forgetful
			load(t, m, packet.IPv4, rules)
			ms = append(ms, m)
		}
		now := int64(1e18)
		for i := range 400 {
			now += int64(r.Uint32N(1e8))
			in, d := traffic(r)
			switch r.IntN(20) {
			case 0: // cut off
				d = d[:20+r.IntN(len(d)-19)]
				d[2], d[3] = 0, byte(len(d))
				sum(d)
			case 1: // a fragment
				d[6], d[7] = byte(r.IntN(2)<<5), byte(r.IntN(3))
				sum(d)
			case 2:
				d[9] = []byte{1, 47, 132, 136}[r.IntN(4)]
				sum(d)
			}
			var first string
			for k, m := range ms {
				x := resultText(m.Receive(m.Ifaces().Name(in), packet.Link{}, bytes.Clone(d), now))
				if k == 0 {
					first = x
				} else if x != first {
					t.Fatalf("seed %d packet %d %s %x:\n%s: %s\n%s: %s", seed, i, in, d, forms[0].name, first, forms[k].name, x)
				}
			}
			if i%100 == 99 {
				same(t, ms, now, fmt.Sprintf("seed %d packet %d", seed, i))
			}
			if i == 250 {
				for _, m := range ms {
					load(t, m, packet.IPv4, rules)
				}
			}
		}
	}
}

// sum mends the checksum of the IPv4 header.
func sum(d []byte) {
	d[10], d[11] = 0, 0
	s := packet.IPv4HeaderChecksum(d[:20])
	d[10], d[11] = byte(s>>8), byte(s)
}

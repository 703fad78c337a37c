package lint

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/packet"
	"weir/xtables"
)

// one picks from a list.
func one(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// conditions are words from a small world, so that rules overlap.
func conditions(r *rand.Rand, point string) string {
	var b strings.Builder
	not := func() string {
		if r.IntN(4) == 0 {
			return " !"
		}
		return ""
	}
	if r.IntN(2) == 0 {
		b.WriteString(not() + " -s " + one(r, "192.0.2.0/25", "192.0.2.128/25", "192.0.2.0/24", "0.0.0.0/1", "128.0.0.0/1", "192.0.2.4"))
	}
	if r.IntN(4) == 0 {
		b.WriteString(" -m iprange" + not() + " --dst-range " + one(r, "198.51.100.1-198.51.100.5", "198.51.100.4-198.51.100.9", "0.0.0.0-198.51.100.3"))
	}
	if (point == "" || point == "INPUT" || point == "FORWARD") && r.IntN(3) == 0 {
		b.WriteString(not() + " -i " + one(r, "lan0", "lan+", "wan0", "+"))
	}
	switch r.IntN(6) {
	case 0:
		b.WriteString(" -p tcp --dport " + one(r, "22", "1:22", "23:65535", "0:80"))
	case 1:
		b.WriteString(" -p tcp -m tcp" + not() + " --syn")
	case 2:
		b.WriteString(not() + " -p " + one(r, "tcp", "udp", "icmp"))
	case 3:
		b.WriteString(" -p udp -m multiport" + not() + " --" + one(r, "ports", "dports", "sports") + " " + one(r, "22,80", "1:22,23:65535", "53"))
	case 4:
		b.WriteString(" -p icmp -m icmp" + not() + " --icmp-type " + one(r, "8", "0", "3/1", "3"))
	}
	if r.IntN(3) == 0 {
		b.WriteString(" -m conntrack" + not() + " --ctstate " + one(r, "NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,DNAT", "UNTRACKED,INVALID"))
	}
	if r.IntN(5) == 0 {
		b.WriteString(" -m mark" + not() + " --mark " + one(r, "0", "1", "2/2", "1/1", "0x10/0xf0"))
	}
	if r.IntN(8) == 0 {
		b.WriteString(one(r, " -m ttl --ttl-gt 10", " -m ttl --ttl-lt 11", " -m length --length 0:60", " -m length ! --length 0:60", " -m tos --tos 4/4", " -f", " ! -f"))
	}
	if r.IntN(10) == 0 {
		b.WriteString(" -m statistic --mode nth --every 2 --packet 0")
	}
	return b.String()
}

// world is a random table.
func world(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("*mangle\n:A - [0:0]\n:B - [0:0]\n:C - [0:0]\n")
	for _, c := range []string{"INPUT", "FORWARD", "OUTPUT", "A", "B", "C"} {
		for range r.IntN(7) {
			targets := []string{"-j ACCEPT", "-j DROP", "-j RETURN", "-j MARK --set-mark 1", "-j MARK --set-mark 2/2", "-j TOS --set-tos 4", "", "-j LOG"}
			switch c {
			case "INPUT", "FORWARD", "OUTPUT":
				targets = append(targets, "-j A", "-j B", "-j C", "-g A", "-g B")
			case "A":
				targets = append(targets, "-j B", "-j C", "-g C")
			case "B":
				targets = append(targets, "-j C", "-g C")
			}
			p := c
			if len(c) == 1 {
				p = ""
			}
			fmt.Fprintf(&b, "-A %s%s %s\n", c, conditions(r, p), one(r, targets...))
		}
	}
	return b.String() + "COMMIT\n"
}

// strays makes a packet of that world.
func strays(r *rand.Rand) (hook.Point, Sample) {
	s := Sample{Family: packet.IPv4, State: conntrack.State(r.IntN(5)), Mark: uint32([]int{0, 1, 2, 3, 0x10, 0x13}[r.IntN(6)])}
	if s.State == conntrack.StateNew || s.State == conntrack.StateEstablished {
		s.NAT = uint8(r.IntN(4))
	}
	src := one(r, "192.0.2.4", "192.0.2.5", "192.0.2.200", "10.0.0.1", "203.0.113.1")
	dst := one(r, "198.51.100.1", "198.51.100.3", "198.51.100.4", "198.51.100.5", "198.51.100.6", "198.51.100.9", "198.51.100.10")
	sp, dp := one(r, "0", "22", "53", "80", "4000"), one(r, "0", "1", "22", "23", "53", "80", "81", "65535")
	switch r.IntN(4) {
	case 0:
		s.Packet = "tcp " + src + ":" + sp + " > " + dst + ":" + dp + " " + one(r, "S", "A", "SA", "none", "SF", "R")
	case 1:
		s.Packet = "udp " + src + ":" + sp + " > " + dst + ":" + dp
	case 2:
		s.Packet = "icmp " + src + " > " + dst + " " + one(r, "8/0", "0/0", "3/0", "3/1", "3/2", "11/0")
	default:
		s.Packet = one(r, "proto=99", "gre", "sctp") + " "
		if strings.HasPrefix(s.Packet, "sctp") {
			s.Packet += src + ":" + sp + " > " + dst + ":" + dp
		} else {
			s.Packet += src + " > " + dst
		}
	}
	s.Packet += one(r, "", "", " len=40", " ttl=10", " ttl=11", " tos=4", " frag=1:1480:last len=8", " trunc=26")
	at := []hook.Point{hook.Input, hook.Forward, hook.Output}[r.IntN(3)]
	if at != hook.Output {
		s.In = one(r, "lan0", "lan1", "wan0", "lo")
	}
	if at != hook.Input {
		s.Out = one(r, "lan0", "wan0")
	}
	return at, s
}

// TestDeadRulesAreDead lets random packets look for a packet that matches a
// rule that is said to be dead.
func TestDeadRulesAreDead(t *testing.T) {
	dead, quiet, rules := 0, 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := world(r)
		rs, errs := engine.ParseRules(packet.IPv4, engine.Text{Name: "r", Text: []byte(text)})
		if len(errs) > 0 {
			t.Fatal(errs, text)
		}
		m, errs := engine.New(Imagine(rs))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		found := Check(rs, m)
		p := &probe{env: hook.Env{CT: conntrack.New(conntrack.Config{}), Routes: m.Routes(), Ifaces: m.Ifaces(), Rand: engine.NewRand(1)},
			shared: xtables.Shared{}}
		tb := p.table(rs.Tables[0])
		for range 1500 {
			at, s := strays(r)
			p.run(tb, at, &s, false)
		}
		said := map[int]*Finding{}
		for i := range found {
			if found[i].Dead {
				said[found[i].Line] = &found[i]
				dead++
			}
		}
		for _, c := range tb.Chains {
			for i, x := range c.Rules {
				n := tb.Counter(c, i).Packets
				rules++
				if n == 0 {
					quiet++
				}
				if f := said[x.Pos.Line]; f != nil && n > 0 {
					t.Fatalf("seed %d: %d packets match\n%s%s", seed, n, f.AppendText(nil, false), text)
				}
			}
		}
	}
	t.Logf("%d rules, %d without a packet, %d of them said to be dead", rules, quiet, dead)
	if dead < 100 {
		t.Error("too few rules are found dead for this test to mean something")
	}
}

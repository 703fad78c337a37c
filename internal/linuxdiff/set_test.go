package linuxdiff

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/ipset/text"
)

var setTimeouts = regexp.MustCompile(`(?m)(^add .* timeout )[1-9]\d*`)

// setDice draws sets, rules over them and packets that hit them.
type setDice struct {
	*rand.Rand
	v6 bool
}

func (d setDice) of(list ...string) string { return list[d.IntN(len(list))] }

func (d setDice) host(lan bool) string { return host(d.v6, lan, 10+d.IntN(6)).String() }

func (d setDice) net() string {
	bits := []string{"32", "31", "30", "28", "24", "16", "1"}
	if d.v6 {
		bits = []string{"128", "127", "126", "124", "64", "32", "1"}
	}
	return d.host(d.IntN(2) == 0) + "/" + d.of(bits...)
}

func (d setDice) port() string {
	icmp := "icmp:echo-request"
	if d.v6 {
		icmp = "icmpv6:echo-request"
	}
	return d.of("udp:53", "udp:1000-1003", "1001", "tcp:1000", "80-81", icmp, "gre:0", "sctp:1000", "esp:0", "udp:1002")
}

func (d setDice) elem(typ string) string {
	_, parts, _ := strings.Cut(typ, ":")
	var out []string
	for _, p := range strings.Split(parts, ",") {
		switch p {
		case "ip":
			out = append(out, d.host(d.IntN(2) == 0))
		case "net":
			out = append(out, d.net())
		case "iface":
			out = append(out, d.of("lan0", "wan0", "lan wildcard", "eth0"))
		case "port":
			if typ == "bitmap:port" {
				out = append(out, d.of("53", "1000-1002", "1003"))
			} else {
				out = append(out, d.port())
			}
		case "mac":
			if d.IntN(2) == 0 {
				out = append(out, "02:00:00:00:00:01")
			}
		}
	}
	return strings.Join(out, ",")
}

func (d setDice) types() []string {
	list := []string{"bitmap:port", "hash:ip", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:net", "hash:net,port", "hash:net,iface"}
	if !d.v6 {
		list = append(list, "bitmap:ip", "bitmap:ip,mac")
	}
	return list
}

// sets is a text for ipset restore, and the dimension of each set.
func (d setDice) sets() (string, map[string]int) {
	var b strings.Builder
	dims := map[string]int{}
	for i, typ := range d.types() {
		name := fmt.Sprintf("s%d", i)
		dims[name] = strings.Count(typ, ",") + 1
		fmt.Fprintf(&b, "create %s %s", name, typ)
		ext := func(n int, w string) bool {
			if d.IntN(n) == 0 {
				b.WriteString(" " + w)
				return true
			}
			return false
		}
		switch {
		case strings.HasPrefix(typ, "hash"):
			if d.v6 {
				b.WriteString(" family inet6")
			}
			fmt.Fprintf(&b, " initval %d hashsize 64", d.Uint32())
			ext(5, "maxelem 33")
			ext(5, "bucketsize 2")
			ext(5, "forceadd")
			if typ == "hash:ip" || typ == "hash:ip,port" {
				ext(4, "netmask "+d.of("30", "31"))
			}
		case typ == "bitmap:port":
			b.WriteString(" range 50-1002")
		default:
			b.WriteString(" range 192.0.2.8-192.0.2.14")
		}
		timeout := ext(3, "timeout "+d.of("0", "50000"))
		counters, skb := ext(2, "counters"), ext(2, "skbinfo")
		b.WriteByte('\n')
		seen := map[string]bool{}
		for range d.IntN(8) {
			e := d.elem(typ)
			if typ == "bitmap:ip" || typ == "bitmap:ip,mac" {
				e = strings.Replace(e, "198.51.100.", "192.0.2.", 1)
				if a, _, _ := strings.Cut(e, ","); a == "192.0.2.15" {
					continue
				}
			}
			if seen[e] || strings.Contains(e, "1003") && typ == "bitmap:port" {
				continue
			}
			seen[e] = true
			b.WriteString("-exist add " + name + " " + e)
			if strings.Contains(typ, "net") {
				ext(4, "nomatch")
			}
			if timeout {
				ext(3, "timeout "+d.of("0", "70000"))
			}
			if counters {
				ext(3, "packets "+d.of("1", "3"))
			}
			if skb {
				ext(2, "skbmark "+d.of("0x1/0xff", "0x20", "0x3/0x1"))
				ext(3, "skbprio 1:5")
			}
			b.WriteByte('\n')
		}
	}
	for i := range 2 {
		name := fmt.Sprintf("l%d", i)
		dims[name] = 3
		b.WriteString("create " + name + " list:set" + d.of("", " counters", " skbinfo counters") + "\n")
		for _, k := range d.Perm(len(dims) - 1 - i)[:3] {
			fmt.Fprintf(&b, "add %s s%d\n", name, k)
		}
	}
	return b.String(), dims
}

func (d setDice) dirs(n int) string {
	var out []string
	for range max(1, n+d.IntN(5)/3-d.IntN(9)/8) {
		out = append(out, d.of("src", "dst"))
	}
	return strings.Join(out, ",")
}

func (d setDice) rules(dims map[string]int) string {
	var names []string
	for i := range len(dims) - 2 {
		names = append(names, fmt.Sprintf("s%d", i))
	}
	names = append(names, "l0", "l1")
	var b strings.Builder
	b.WriteString("*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j TRACE\nCOMMIT\n*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n")
	for range 24 {
		n := d.of(names...)
		chain := d.of("PREROUTING", "FORWARD", "FORWARD", "POSTROUTING")
		use := n + " " + d.dirs(dims[n])
		b.WriteString("-A " + chain)
		if d.IntN(4) > 0 {
			b.WriteString(" -m set " + d.of("", "", "! ") + "--match-set " + use)
			for _, o := range []string{"--return-nomatch", "! --update-counters", "! --update-subcounters"} {
				if d.IntN(6) == 0 {
					b.WriteString(" " + o)
				}
			}
			if d.IntN(5) == 0 {
				b.WriteString(" " + d.of("--packets-eq 3", "--packets-lt 4", "--packets-gt 2", "! --packets-eq 1", "--bytes-lt 100", "--bytes-gt 90"))
			}
		}
		m := d.of(names...)
		use = m + " " + d.dirs(dims[m])
		switch d.IntN(7) {
		case 0:
			b.WriteString(" -j SET --add-set " + use + d.of("", " --exist", " --timeout 60000", " --exist --timeout 0"))
		case 1:
			b.WriteString(" -j SET --del-set " + use)
		case 2:
			b.WriteString(" -j SET --map-set " + use + " --map-mark")
			if chain != "PREROUTING" {
				b.WriteString(d.of("", " --map-prio", " --map-prio --map-queue"))
			}
		case 3:
			b.WriteString(" -m mark --mark " + d.of("0x1", "0x20/0x20", "0x3"))
		}
		b.WriteByte('\n')
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

func (d setDice) packet() gen.Packet {
	src, dst := host(d.v6, true, 10+d.IntN(6)), host(d.v6, false, 10+d.IntN(6))
	in := "lan0"
	if d.IntN(4) == 0 {
		src, dst, in = dst, src, "wan0"
	}
	ip := wire.IP{Src: src, Dst: dst, TTL: 64}
	sport, dport := uint16(1000+d.IntN(5)), []uint16{53, 80, 81, 1000, 1001, 1002}[d.IntN(6)]
	switch d.IntN(10) {
	case 0:
		ip.Proto = 6
		return gen.Packet{In: in, Data: ip.Packet(wire.Segment{Sport: sport, Dport: dport, Flags: wire.SYN}.Bytes(src, dst))}
	case 1:
		ip.Proto = 47
		return gen.Packet{In: in, Data: ip.Packet([]byte{0, 0, 8, 0})}
	case 2:
		ip.Proto = 50
		return gen.Packet{In: in, Data: ip.Packet(unhex("00000001 00000002 0000000000000000"))}
	}
	ip.Proto = 17
	return gen.Packet{In: in, Data: ip.Packet(wire.Datagram(17, src, dst, sport, dport, make([]byte, d.IntN(90))))}
}

// TestSetsAsLinux runs packets through random sets and rules that match, fill
// and empty them: the same rules match, and the sets hold the same after.
func TestSetsAsLinux(t *testing.T) {
	k := extensionKernel(t)
	if _, err := exec.LookPath("ipset"); err != nil {
		t.Skip("needs ipset")
	}
	rounds, n := 12, 60
	if testing.Short() {
		rounds = 2
	}
	if s := os.Getenv("WEIR_SET_ROUNDS"); s != "" {
		fmt.Sscan(s, &rounds)
	}
	for seed := range rounds {
		for _, v6 := range []bool{false, true} {
			d := setDice{rand.New(rand.NewPCG(uint64(seed), 5)), v6}
			sets, dims := d.sets()
			rules := d.rules(dims)
			var packets []gen.Packet
			for range n {
				packets = append(packets, d.packet())
			}
			if !sameSets(t, k, d, sets, rules, packets) {
				t.Fatalf("seed %d, IPv6 %v", seed, v6)
			}
		}
	}
	t.Logf("%d packets compared", rounds*2*n)
}

func sameSets(t *testing.T, k *kernel.Kernel, d setDice, sets, rules string, packets []gen.Packet) bool {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s%s", err, sets, rules)
		}
	}
	must(k.Reload("", ""))
	_, err := k.Ipset("", "flush")
	must(err)
	_, err = k.Ipset("", "destroy")
	must(err)
	_, err = k.Ipset(sets, "restore")
	must(err)
	c := &gen.Case{Machine: extensionMachine(), Seed: 1, Sets: sets}
	if d.v6 {
		c.Rules6 = rules
	} else {
		c.Rules4 = rules
	}
	must(k.Reload(c.Rules4, c.Rules6))
	must(k.Flush())
	w, err := newSubject(c, []Mode{Remember, Interpret, Forgetful}[d.IntN(3)])
	must(err)
	for i, p := range packets {
		res, err := k.Inject(p.In, p.Data)
		must(err)
		w.follow(p.Data, &res)
		got := w.run(p, time.Now().UnixNano())
		var trace []string
		for _, l := range res.Trace {
			if table, _, _ := strings.Cut(l, ":"); strings.Contains(rules, "*"+table+"\n") {
				trace = append(trace, l)
			}
		}
		res.Trace = trace
		if diff := packetDifference(p.Data, &res, &got, w, false); diff != nil {
			t.Errorf("%s%s\npacket %d %x\n%v\n%s", sets, rules, i, p.Data, diff, savesDifference(t, k, w))
			return false
		}
		if i%20 != 19 {
			continue
		}
		if s := savesDifference(t, k, w); s != "" {
			t.Errorf("%s%s\nafter packet %d\n%s", sets, rules, i, s)
			return false
		}
	}
	return true
}

func savesDifference(t *testing.T, k *kernel.Kernel, w *subject) string {
	out, err := k.Ipset("", "save")
	if err != nil {
		t.Fatal(err)
	}
	got := string(text.Save(w.m.Sets(), false, w.now))
	a, b := strings.Split(setTimeouts.ReplaceAllString(out, "${1}T"), "\n"), strings.Split(setTimeouts.ReplaceAllString(got, "${1}T"), "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("sets: Linux\n%s\nweir\n%s", strings.Join(a[max(0, min(i, len(a))-5):min(len(a), i+5)], "\n"), strings.Join(b[max(0, min(i, len(b))-5):min(len(b), i+5)], "\n"))
		}
	}
	return ""
}

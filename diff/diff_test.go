package diff

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"weir/engine"
	"weir/lint"
	"weir/packet"
	"weir/scenario/line"
	"weir/xtables"
)

// subjects are two rule texts on a machine that is made up for both.
func subjects(t *testing.T, a, b string) (x, y Subject) {
	t.Helper()
	var sets []*xtables.Ruleset
	for _, text := range []string{a, b} {
		rs, errs := engine.ParseRules(packet.IPv4, engine.Text{Name: "rules", Text: []byte(text)})
		if len(errs) > 0 {
			t.Fatal(errs, text)
		}
		sets = append(sets, rs)
	}
	c := lint.Imagine(sets...)
	x, y = Subject{Config: c, Imagined: true}, Subject{Config: c, Imagined: true}
	x.Config.Rules4 = engine.Text{Name: "a", Text: []byte(a)}
	y.Config.Rules4 = engine.Text{Name: "b", Text: []byte(b)}
	return x, y
}

func TestSearch(t *testing.T) {
	filter := func(rules ...string) string { return "*filter\n" + strings.Join(rules, "\n") + "\nCOMMIT\n" }
	nat := func(rules ...string) string { return "*nat\n" + strings.Join(rules, "\n") + "\nCOMMIT\n" }
	est := "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"
	for _, c := range []struct {
		name string
		a, b string
		want []string // verdict of A, verdict of B, of each difference
	}{
		{"the same", filter("-A INPUT -j DROP"), filter("-A INPUT -j DROP"), nil},
		{"another order of rules that do not meet", filter("-A INPUT -p tcp -j DROP", "-A INPUT -p udp -j ACCEPT"), filter("-A INPUT -p udp -j ACCEPT", "-A INPUT -p tcp -j DROP"), nil},
		{"a rule that never matches", filter("-A INPUT -p tcp -j DROP", "-A INPUT -p tcp --dport 22 -j ACCEPT"), filter("-A INPUT -p tcp -j DROP"), nil},
		{"a policy", filter(":FORWARD DROP"), filter(":FORWARD ACCEPT"), []string{"drop forward"}},
		{"one port more", filter("-A FORWARD -p udp --dport 10:20 -j DROP"), filter("-A FORWARD -p udp --dport 10:21 -j DROP"), []string{"forward drop"}},
		{"one address less", filter("-A FORWARD -m iprange --src-range 10.0.0.1-10.0.0.99 -j DROP"), filter("-A FORWARD -m iprange --src-range 10.0.0.1-10.0.0.98 -j DROP"), []string{"drop forward"}},
		{"a shorter prefix", filter("-A INPUT -d 10.9.8.0/24 -j DROP"), filter("-A INPUT -d 10.9.8.0/25 -j DROP"), []string{"drop local"}},
		{"DROP and REJECT", filter("-A FORWARD -p tcp --dport 25 -j DROP"), filter("-A FORWARD -p tcp --dport 25 -j REJECT"), []string{"drop drop"}},
		{"a state", filter(":FORWARD DROP", est, "-A FORWARD -i lan0 -j ACCEPT"), filter(":FORWARD DROP", "-A FORWARD -i lan0 -j ACCEPT"), []string{"forward drop"}},
		{"the order of two rules", filter("-A FORWARD -s 10.0.0.0/8 -j DROP", "-A FORWARD -p udp -j ACCEPT", ":FORWARD DROP"), filter("-A FORWARD -p udp -j ACCEPT", "-A FORWARD -s 10.0.0.0/8 -j DROP", ":FORWARD DROP"), []string{"drop forward"}},
		{"a jump", filter(":C -", "-A FORWARD -o wan0 -p udp -j C", "-A C -d 192.0.2.0/24 -j DROP"), filter(":C -", "-A C -d 192.0.2.0/24 -j DROP"), []string{"drop forward"}},
		{"a mark", "*mangle\n-A PREROUTING -p udp --dport 99 -j MARK --set-mark 1\nCOMMIT\n" + filter("-A FORWARD -m mark --mark 1 -j DROP"), "*mangle\n-A PREROUTING -p udp --dport 98 -j MARK --set-mark 1\nCOMMIT\n" + filter("-A FORWARD -m mark --mark 1 -j DROP"), []string{"drop forward", "forward drop"}},
		{"a port of DNAT", nat("-A PREROUTING -i wan0 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:80"), nat("-A PREROUTING -i wan0 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:81"), []string{"forward forward"}},
		{"a source of SNAT", nat("-A POSTROUTING -o wan0 -j SNAT --to-source 10.0.0.1"), nat("-A POSTROUTING -o wan0 -j SNAT --to-source 10.0.0.2"), []string{"forward forward"}},
		{"REDIRECT", nat("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3128"), nat("-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 3128"), []string{"local forward", "forward local"}},
		{"packets of this machine", filter("-A OUTPUT -p udp --dport 53 -j DROP"), filter(), []string{"drop output"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := subjects(t, c.a, c.b)
			found, errs := Search(a, b, 20)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			var got []string
			var all []byte
			for i := range found.Differences {
				d := &found.Differences[i]
				got = append(got, d.A.Verdict+" "+d.B.Verdict)
				all = d.AppendText(all, false)
			}
			for _, w := range c.want {
				if !slices.Contains(got, w) {
					t.Errorf("no difference %q in %q\n%s", w, got, all)
				}
			}
			if len(c.want) == 0 && len(got) > 0 {
				t.Errorf("differences\n%s", all)
			}
		})
	}
}

// gateways are rule sets to change at random.
func gateways() []string {
	return []string{`*nat
-A PREROUTING -i wan0 -p tcp --dport 80 -j DNAT --to-destination 10.0.0.80:8080
-A PREROUTING -i wan0 -p udp -m multiport --dports 53,123 -j DNAT --to-destination 10.0.0.53
-A PREROUTING -i wan0 -p tcp --dport 2222 -j REDIRECT --to-ports 22
-A POSTROUTING -o wan0 -s 10.0.0.0/8 -j SNAT --to-source 203.0.113.2
COMMIT
*filter
:INPUT DROP
:FORWARD DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -p udp --dport 5000:5010 -s 10.0.0.0/8 -j ACCEPT
-A INPUT -p icmp --icmp-type 8 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -s 10.0.66.0/24 -j DROP
-A FORWARD -i lan0 -o wan0 -j ACCEPT
-A FORWARD -d 10.0.0.80 -p tcp --dport 8080 -j ACCEPT
-A FORWARD -d 10.0.0.53 -p udp --dport 53 -j ACCEPT
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
COMMIT
`, `*mangle
-A PREROUTING -s 10.1.0.0/16 -j MARK --set-mark 1
-A PREROUTING -s 10.2.0.0/16 -j MARK --set-mark 2
-A FORWARD -p tcp --dport 25 -j MARK --set-mark 3
COMMIT
*filter
:FORWARD ACCEPT
:WEB - [0:0]
:MAIL - [0:0]
-A INPUT -p tcp --dport 1:1023 -j DROP
-A INPUT -p udp --dport 1:1023 ! -s 10.0.0.0/8 -j DROP
-A FORWARD -m mark --mark 2 -p udp -j DROP
-A FORWARD -p tcp -m multiport --dports 80,443 -j WEB
-A FORWARD -p tcp --dport 25 -g MAIL
-A FORWARD -p tcp -m mark --mark 1 --dport 8000:9000 -j DROP
-A FORWARD -s 10.1.5.0/24 -d 192.0.2.0/24 -j DROP
-A WEB -s 10.1.0.0/16 -j RETURN
-A WEB -d 192.0.2.80 -j ACCEPT
-A WEB -p tcp --dport 80 -j DROP
-A MAIL -m mark --mark 3 -d 192.0.2.25 -j ACCEPT
-A MAIL -j DROP
-A OUTPUT -p tcp --dport 25 -j DROP
-A OUTPUT -d 192.0.2.0/24 -p udp -j DROP
COMMIT
`}
}

// mutate changes a text in one place.
func mutate(r *rand.Rand, text string) string {
	ls := strings.Split(text, "\n")
	var at []int
	for i, l := range ls {
		if strings.HasPrefix(l, "-A") {
			at = append(at, i)
		}
	}
	i := at[r.IntN(len(at))]
	switch r.IntN(3) {
	case 0:
		ls = slices.Delete(ls, i, i+1)
	case 1:
		k := at[r.IntN(len(at))]
		if strings.Fields(ls[i])[1] == strings.Fields(ls[k])[1] {
			ls[i], ls[k] = ls[k], ls[i]
		}
	default:
		for _, w := range [][2]string{{"22 ", "23 "}, {"5010", "5012"}, {"10.0.66.0/24", "10.0.64.0/22"}, {":8080", ":8081"}, {"8080 ", "8090 "}, {"53,123", "53,124"},
			{"mark 1", "mark 4"}, {"mark 2", "mark 1"}, {"80,443", "80:443"}, {"1:1023", "1:1024"}, {"/16", "/17"}, {"/8", "/9"}, {"ACCEPT", "DROP"}, {"DROP", "ACCEPT"}, {"25", "26"}} {
			if strings.Contains(ls[i], w[0]) {
				ls[i] = strings.Replace(ls[i], w[0], w[1], 1)
				break
			}
		}
	}
	return strings.Join(ls, "\n")
}

func loads(text string) bool {
	_, errs := engine.ParseRules(packet.IPv4, engine.Text{Name: "rules", Text: []byte(text)})
	return len(errs) == 0
}

// traffic is random packets out of the same material.
func traffic(r *rand.Rand, n int) (lines []string) {
	one := func(w ...string) string { return w[r.IntN(len(w))] }
	addr := func() string {
		return one("10.0.0.80", "10.0.0.53", "10.0.66.9", "10.0.65.9", "10.1.5.1", "10.1.200.1", "10.2.3.4", "10.200.1.1", "192.0.2.80", "192.0.2.25", "192.0.2.1", "203.0.113.9", "198.18.1.1", "198.18.2.1", "198.51.100.1")
	}
	port := func() string {
		return one("22", "23", "25", "26", "53", "80", "81", "443", "123", "124", "2222", "5000", "5010", "5011", "8080", "8081", "8090", "1023", "1024", "40000", "40001")
	}
	for range n {
		in := one("lan0", "wan0", "net1", "local")
		switch r.IntN(5) {
		case 0:
			lines = append(lines, fmt.Sprintf("%s icmp %s > %s %s", in, addr(), addr(), one("echo id=1 seq=1", "0/0")))
		case 1, 2:
			lines = append(lines, fmt.Sprintf("%s udp %s:%s > %s:%s", in, addr(), port(), addr(), port()))
		default:
			lines = append(lines, fmt.Sprintf("%s tcp %s:%s > %s:%s %s", in, addr(), port(), addr(), port(), one("S", "S", "S", "A", "SA", "R")))
		}
	}
	return lines
}

// TestSearchFindsWhatTrafficFinds changes rules at random. What random traffic
// shows to be different has to be found, and what is found has to be true.
func TestSearchFindsWhatTrafficFinds(t *testing.T) {
	shown, found, both := 0, 0, 0
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 5))
		a := gateways()[seed%2]
		b := a
		for b == a || !loads(b) {
			b = mutate(r, a)
		}
		x, y := subjects(t, a, b)
		p, errs := newPair(x.Config, y.Config)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		differ := ""
		for _, l := range traffic(r, 1500) {
			if _, _, _, d := p.play([]turn{{line: l}}); d {
				differ = l
				break
			}
		}
		got, errs := Search(x, y, 20)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if differ != "" {
			shown++
		}
		if len(got.Differences) > 0 {
			found++
		}
		switch {
		case differ != "" && len(got.Differences) > 0:
			both++
		case differ != "":
			t.Errorf("seed %d: not found: %s\n%s", seed, differ, changed(a, b))
		}
		for i := range got.Differences {
			if d := &got.Differences[i]; !real(t, x, y, d) {
				t.Errorf("seed %d: not true:\n%s", seed, d.AppendText(nil, false))
			}
		}
	}
	t.Logf("random traffic shows %d changes, the search finds %d; %d both", shown, found, both)
	if shown < 60 {
		t.Error("too few changes show for this test to mean something")
	}
}

// changed is the lines that are in one text only.
func changed(a, b string) (s string) {
	for _, l := range strings.Split(a, "\n") {
		if !strings.Contains(b, l+"\n") {
			s += "- " + l + "\n"
		}
	}
	for _, l := range strings.Split(b, "\n") {
		if !strings.Contains(a, l+"\n") {
			s += "+ " + l + "\n"
		}
	}
	return s
}

// real gives the packets of a difference to two machines, apart from the code
// that found it.
func real(t *testing.T, a, b Subject, d *Difference) bool {
	t.Helper()
	w := &world{way: map[string]string{}}
	if dst, way, ok := strings.Cut(d.Setup, " is reached by "); ok {
		w.way[dst] = way
	} else if dst, ok := strings.CutSuffix(d.Setup, " is this machine"); ok {
		w.way[dst] = ""
	}
	var last [2]string
	for i, c := range []engine.Config{w.suit(a.Config), w.suit(b.Config)} {
		m, errs := engine.New(c)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		for n, l := range d.Packets {
			k, err := line.Parse(l)
			if err != nil {
				t.Fatal(err)
			}
			for _, data := range k.Data {
				var res engine.Result
				if k.In == "local" {
					res = m.Send(data, nil, int64(1e18)+int64(n))
				} else {
					res = m.Receive(m.Ifaces().Name(k.In), k.Link, data, int64(1e18)+int64(n))
				}
				last[i] = string(res.Verdict)
				for _, o := range res.Out {
					last[i] += fmt.Sprintf(" %s %x", o.Dev.Name, o.Data)
				}
				if c := res.CT.Conn; c != nil {
					last[i] += fmt.Sprint(c.Tuple[1])
				}
			}
		}
	}
	return last[0] != last[1]
}

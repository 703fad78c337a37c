package match_test

import (
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/internal/exttest"
)

const (
	syn = packet.TCPSyn
	ack = packet.TCPAck
)

// rule parses a rule or ends the test.
func rule(t testing.TB, f packet.Family, text string) *exttest.Rule {
	t.Helper()
	r, err := exttest.Parse(list(), f, "filter", "FORWARD", text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

// all asks every match of a rule in order, as the rule would.
func all(r *exttest.Rule, tr *hook.Traversal) bool {
	for _, m := range r.Matches {
		if !m.Match(tr) {
			return false
		}
	}
	return true
}

// TestHeaderMatches asks one match about one packet: yes, no, or the packet is
// dropped on the spot.
func TestHeaderMatches(t *testing.T) {
	v4, v6 := packet.IPv4, packet.IPv6
	tcp := func(f packet.Family, fl uint8, o string) *packet.Packet {
		return exttest.Packet(t, f, packet.TCP, exttest.TCP(1024, 80, fl, exttest.Bytes(o), nil))
	}
	udp := func(f packet.Family) *packet.Packet {
		return exttest.Packet(t, f, packet.UDP, exttest.UDP(53, 5353, []byte("data")))
	}
	raw := func(f packet.Family, proto uint8, b string) *packet.Packet {
		return exttest.Packet(t, f, proto, exttest.Bytes(b))
	}
	short := "0400 0050 0000"
	for _, c := range []struct {
		name string
		f    packet.Family
		rule string
		p    *packet.Packet
		want string
	}{
		{"a destination port in the range passes", v4, "-p tcp --dport 80:90", tcp(v4, syn, ""), "yes"},
		{"the port below the range fails", v4, "-p tcp --dport 81:90", tcp(v4, syn, ""), "no"},
		{"the port above the range fails", v4, "-p tcp --dport 70:79", tcp(v4, syn, ""), "no"},
		{"an inverted port passes others", v6, "-p tcp ! --sport 80", tcp(v6, syn, ""), "yes"},
		{"both ports must pass", v6, "-p tcp --sport 1024 --dport 81", tcp(v6, syn, ""), "no"},
		{"syn alone is a syn", v4, "-p tcp --syn", tcp(v4, syn, ""), "yes"},
		{"syn with ack is no syn", v4, "-p tcp --syn", tcp(v4, syn|ack, ""), "no"},
		{"an inverted syn passes an ack", v4, "-p tcp ! --syn", tcp(v4, ack, ""), "yes"},
		{"flags outside the mask do not count", v4, "-p tcp --tcp-flags SYN,ACK SYN", tcp(v4, syn|packet.TCPEce, ""), "yes"},
		{"an option is found behind padding", v4, "-p tcp --tcp-option 3", tcp(v4, syn, "01 01 01 03 03 07 00 00"), "yes"},
		{"an absent option fails", v4, "-p tcp --tcp-option 4", tcp(v4, syn, "01 01 01 03 03 07 00 00"), "no"},
		{"an absent option passes inverted", v4, "-p tcp ! --tcp-option 4", tcp(v4, syn, ""), "yes"},
		{"an option of length zero does not hang", v4, "-p tcp --tcp-option 9", tcp(v4, syn, "08 00 05 05"), "no"},
		{"a TCP header cut off is dropped", v4, "-p tcp --dport 80", raw(v4, packet.TCP, short), "drop"},
		{"a TCP header cut off is dropped over IPv6", v6, "-p tcp --dport 80", raw(v6, packet.TCP, short), "drop"},
		{"a fragment at offset 8 of TCP is dropped", v4, "-p tcp --dport 80", exttest.Fragment(tcp(v4, syn, ""), 8), "drop"},
		{"a later fragment of TCP fails", v4, "-p tcp ! --dport 81", exttest.Fragment(tcp(v4, syn, ""), 16), "no"},
		{"a UDP port", v6, "-p udp --sport 53", udp(v6), "yes"},
		{"a UDP header cut off is dropped", v4, "-p udp --sport 53", raw(v4, packet.UDP, short), "drop"},
		{"a later fragment of UDP fails", v4, "-p udp --sport 53", exttest.Fragment(udp(v4), 8), "no"},
		{"an ICMP type and code", v4, "-p icmp --icmp-type 3/4", raw(v4, packet.ICMP, "03 04 0000 0000 0000"), "yes"},
		{"another code fails", v4, "-p icmp --icmp-type 3/4", raw(v4, packet.ICMP, "03 03 0000 0000 0000"), "no"},
		{"any code of a named type", v4, "-p icmp --icmp-type echo-request", raw(v4, packet.ICMP, "08 07 0000 0000 0000"), "yes"},
		{"any is every type", v4, "-p icmp --icmp-type any", raw(v4, packet.ICMP, "2a 07 0000 0000 0000"), "yes"},
		{"not any is none", v4, "-p icmp ! --icmp-type any", raw(v4, packet.ICMP, "2a 07 0000 0000 0000"), "no"},
		{"ICMPv6 type 255 is a type", v6, "-p icmpv6 --icmpv6-type 255", raw(v6, packet.ICMPv6, "80 00 0000 0000 0000"), "no"},
		{"ICMPv6 echo", v6, "-p icmpv6 --icmpv6-type ping", raw(v6, packet.ICMPv6, "80 00 0000 0000 0000"), "yes"},
		{"an ICMP header cut off is dropped", v4, "-p icmp --icmp-type 8", raw(v4, packet.ICMP, "08 00"), "drop"},
		{"one of many ports", v4, "-p udp -m multiport --dports 1,5000:6000", udp(v4), "yes"},
		{"ports asks either side", v4, "-p udp -m multiport --ports 53", udp(v4), "yes"},
		{"sports does not ask the destination", v4, "-p udp -m multiport --sports 5353", udp(v4), "no"},
		{"none of many ports inverted", v4, "-p udp -m multiport ! --sports 1,2", udp(v4), "yes"},
		{"the length counts from the IP header", v4, "-m length --length 32", udp(v4), "yes"},
		{"the length counts the IPv6 header", v6, "-m length --length 52", udp(v6), "yes"},
		{"a length out of the range", v6, "-m length --length 53:", udp(v6), "no"},
		{"a backward range holds no length", v4, "-m length --length 40:30", udp(v4), "no"},
		{"ttl equal", v4, "-m ttl --ttl-eq 64", udp(v4), "yes"},
		{"ttl not equal", v4, "-m ttl ! --ttl-eq 64", udp(v4), "no"},
		{"ttl less excludes its bound", v4, "-m ttl --ttl-lt 64", udp(v4), "no"},
		{"hl greater", v6, "-m hl --hl-gt 63", udp(v6), "yes"},
		{"an mss in the range", v4, "-p tcp -m tcpmss --mss 1400:1500", tcp(v4, syn, "02 04 05b4"), "yes"},
		{"an mss out of the range", v4, "-p tcp -m tcpmss --mss 1:1459", tcp(v4, syn, "02 04 05b4"), "no"},
		{"no mss option fails", v4, "-p tcp -m tcpmss --mss 1:", tcp(v4, syn, ""), "no"},
		{"no mss option passes inverted", v6, "-p tcp -m tcpmss ! --mss 1:", tcp(v6, syn, ""), "yes"},
		{"an address in a range", v4, "-m iprange --src-range 192.0.2.1-192.0.2.9", udp(v4), "yes"},
		{"an address below a range", v4, "-m iprange --src-range 192.0.2.2-192.0.2.9", udp(v4), "no"},
		{"both ranges must pass", v6, "-m iprange --src-range 2001:db8::-2001:db8::1 ! --dst-range 2001:db8::2", udp(v6), "no"},
		{"not in an Ethernet frame fails even inverted", v4, "-m mac ! --mac-source 02:00:00:00:00:01", udp(v4), "no"},
		{"addressed to this host", v4, "-m pkttype --pkt-type unicast", udp(v4), "yes"},
		{"dscp", v4, "-m dscp ! --dscp 1", udp(v4), "yes"},
		{"tos under a mask", v6, "-m tos --tos 0/0xf0", udp(v6), "yes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, _ := exttest.Walk(c.p, hook.Forward)
			r := rule(t, c.f, c.rule)
			got := map[bool]string{true: "yes", false: "no"}[all(r, tr)]
			if tr.Hotdrop {
				got = "drop"
			}
			if got != c.want {
				t.Errorf("%s: %s, want %s", c.rule, got, c.want)
			}
			if got != "yes" {
				last := r.Matches[len(r.Matches)-1]
				if e, ok := last.(xtables.Explainer); !ok || e.Explain(tr) == "" {
					t.Errorf("%s does not say why", c.rule)
				}
			}
			if n := testing.AllocsPerRun(50, func() { all(r, tr) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestStateAndConntrack(t *testing.T) {
	c := &conntrack.Conn{Status: conntrack.Assured | conntrack.DstNAT, Mark: 0x12}
	c.Tuple[0] = conntrack.Tuple{Src: packet.Addr{192, 0, 2, 1}, Dst: packet.Addr{198, 51, 100, 2}, SrcL4: 1000, DstL4: 80, Proto: 6, L3: packet.IPv4}
	c.Tuple[1] = conntrack.Tuple{Src: packet.Addr{203, 0, 113, 3}, Dst: packet.Addr{192, 0, 2, 1}, SrcL4: 8080, DstL4: 1000, Proto: 6, L3: packet.IPv4}
	at := func(i conntrack.Info) conntrack.Ref { return conntrack.Ref{Conn: c, Info: i} }
	untracked := conntrack.Ref{Info: conntrack.InfoUntracked}
	reply := at(conntrack.InfoEstablishedReply)
	for _, x := range []struct {
		name, rule string
		ref        conntrack.Ref
		want       bool
	}{
		{"nothing attached is INVALID", "-m state --state INVALID", conntrack.Ref{}, true},
		{"nothing attached is not NEW", "-m state --state NEW", conntrack.Ref{}, false},
		{"untracked", "-m state --state UNTRACKED", untracked, true},
		{"a reply is ESTABLISHED", "-m state --state RELATED,ESTABLISHED", reply, true},
		{"a related reply is RELATED", "-m state --state RELATED", at(conntrack.InfoRelatedReply), true},
		{"inverted state", "-m state ! --state NEW", reply, true},
		{"DNAT is one more state of a set", "-m conntrack --ctstate NEW,DNAT", reply, true},
		{"SNAT is not there", "-m conntrack --ctstate SNAT", reply, false},
		{"without a connection only the state is asked", "-m conntrack --ctstate INVALID --ctproto 17", conntrack.Ref{}, true},
		{"without a connection and a state nothing matches", "-m conntrack ! --ctproto 17", conntrack.Ref{}, false},
		{"protocol", "-m conntrack --ctproto tcp", reply, true},
		{"protocol inverted", "-m conntrack ! --ctproto tcp", reply, false},
		{"direction", "-m conntrack --ctdir REPLY", reply, true},
		{"the other direction", "-m conntrack --ctdir ORIGINAL", reply, false},
		{"original source", "-m conntrack --ctorigsrc 192.0.2.0/24", reply, true},
		{"original destination inverted", "-m conntrack ! --ctorigdst 198.51.100.2", reply, false},
		{"reply source", "-m conntrack --ctreplsrc 203.0.113.3", reply, true},
		{"reply destination", "-m conntrack --ctrepldst 203.0.113.3", reply, false},
		{"original destination port", "-m conntrack --ctorigdstport 79:80", reply, true},
		{"reply source port", "-m conntrack --ctreplsrcport 80", reply, false},
		{"a status bit", "-m conntrack --ctstatus ASSURED,EXPECTED", reply, true},
		{"no status bit", "-m conntrack --ctstatus EXPECTED", reply, false},
		{"NONE is never set", "-m conntrack --ctstatus NONE", reply, false},
		{"not NONE is always true", "-m conntrack ! --ctstatus NONE", reply, true},
		{"before confirmation no time is left", "-m conntrack --ctexpire 0", reply, true},
		{"connection mark", "-m connmark --mark 0x2/0xf", reply, true},
		{"connection mark inverted", "-m connmark ! --mark 0x2/0xf", reply, false},
		{"no connection has no mark, inverted neither", "-m connmark ! --mark 1", conntrack.Ref{}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			tr, _ := exttest.Walk(exttest.Packet(t, packet.IPv4, packet.TCP, exttest.TCP(1, 2, ack, nil, nil)), hook.Forward)
			tr.CT = x.ref
			r := rule(t, packet.IPv4, x.rule)
			if got := all(r, tr); got != x.want {
				t.Errorf("%s: %v", x.rule, got)
			}
			if !x.want && r.Matches[0].(xtables.Explainer).Explain(tr) == "" {
				t.Error("says nothing")
			}
			if n := testing.AllocsPerRun(50, func() { all(r, tr) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// series asks the same rule again and again, at the given times in ms.
func series(t *testing.T, text string, ms []int64, random []uint32) string {
	tr, env := exttest.Walk(exttest.Packet(t, packet.IPv4, packet.UDP, exttest.UDP(1, 2, nil)), hook.Forward)
	env.Next = random
	r := rule(t, packet.IPv4, text)
	s := ""
	for _, at := range ms {
		tr.Now = 1_700_000_000_000_000_000 + at*1_000_000
		s += map[bool]string{true: "1", false: "0"}[all(r, tr)]
	}
	return s
}

func TestStatefulMatches(t *testing.T) {
	zeros := func(n int) []int64 { return make([]int64, n) }
	for _, c := range []struct {
		name, rule string
		ms         []int64
		random     []uint32
		want       string
	}{
		{"a bucket of three empties and refills with time", "-m limit --limit 2/s --limit-burst 3",
			[]int64{0, 0, 0, 0, 0, 0, 500, 500}, nil, "11100010"},
		{"credit grows by ticks of 4 ms", "-m limit --limit 250/s --limit-burst 1",
			[]int64{0, 3, 4, 5, 8}, nil, "10101"},
		{"the bucket never holds more than the burst", "-m limit --limit 1/s --limit-burst 2",
			[]int64{0, 100000, 100000, 100000}, nil, "1110"},
		{"every third, first of three", "-m statistic --mode nth --every 3 --packet 0", zeros(7), nil, "1001001"},
		{"every third, second of three", "-m statistic --mode nth --every 3 --packet 1", zeros(6), nil, "010010"},
		{"every third inverted", "-m statistic --mode nth ! --every 3 --packet 2", zeros(6), nil, "110110"},
		{"a quota ends with the packet that does not fit", "-m quota --quota 60", zeros(4), nil, "1100"},
		{"recent: set matches from the first packet on", "-m recent --set --name a", zeros(2), nil, "11"},
		{"recent: nobody sets, nobody is found", "-m recent --update --name a", zeros(2), nil, "00"},
		{"recent: not found passes inverted", "-m recent ! --rcheck --name a", zeros(2), nil, "11"},
		{"time of day ends with its last second", "-m time --timestart 22:00 --timestop 22:13:20", []int64{0, 1000}, nil, "10"},
		{"a night goes over midnight", "-m time --timestart 22:13:21 --timestop 1:00", []int64{0, 1000, 2 * 3600 * 1000, 3 * 3600 * 1000}, nil, "0110"},
		{"a contiguous night belongs to the day it began", "-m time --timestart 22:00 --timestop 1:00 --contiguous --weekdays Tue",
			[]int64{0, 2 * 3600 * 1000, 24 * 3600 * 1000}, nil, "110"},
		{"a day of the month", "-m time --monthdays 14", []int64{0, 24 * 3600 * 1000}, nil, "10"},
		{"before the date", "-m time --datestart 2023-11-14T22:13:21", []int64{0, 1000}, nil, "01"},
		{"a chance of a half", "-m statistic --mode random --probability 0.5", zeros(3),
			[]uint32{0x3fffffff, 0x40000000, 0x80000000}, "101"},
		{"a chance of one always hits", "-m statistic --mode random --probability 1", zeros(2),
			[]uint32{0xffffffff, 0}, "11"},
		{"a chance of none inverted always hits", "-m statistic --mode random ! --probability 0", zeros(1), nil, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := series(t, c.rule, c.ms, c.random); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// A list is shared by the rules that name it: the fourth packet within the
// second is the first to find three earlier ones.
func TestRecentListsAreSharedByName(t *testing.T) {
	check := rule(t, packet.IPv4, "-m recent --update --seconds 1 --hitcount 3 --name x")
	set := rule(t, packet.IPv4, "-m recent --set --name x")
	other := rule(t, packet.IPv4, "-m recent --rcheck --name y")
	shared := &xtables.Shared{}
	for _, r := range []*exttest.Rule{check, set, other} {
		if err := r.Matches[0].(xtables.Binder).Bind(shared); err != nil {
			t.Fatal(err)
		}
	}
	tr, _ := exttest.Walk(exttest.Packet(t, packet.IPv4, packet.UDP, exttest.UDP(1, 2, nil)), hook.Forward)
	got := ""
	for _, ms := range []int64{0, 10, 20, 30, 5000} {
		tr.Now = 1_700_000_000_000_000_000 + ms*1_000_000
		got += map[bool]string{true: "1", false: "0"}[all(check, tr)]
		all(set, tr)
		if all(other, tr) {
			t.Error("another list has the address")
		}
	}
	if got != "00010" {
		t.Errorf("%s, want 00010", got)
	}
}

package filter

import (
	"testing"

	"weir/scenario/line"
	"weir/trace"
	"weir/trace/render"
)

func TestFilter(t *testing.T) {
	mk := func(l, verdict, reason, conn string, n int) *render.Packet {
		p, err := line.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		return &render.Packet{N: n, In: p.In, Data: p.Data[0], Verdict: verdict, Reason: reason, Conn: conn,
			Steps: []trace.Step{{Kind: trace.KindRule, Match: true, Table: "filter", Chain: "WEB"}},
			Out:   []render.Out{{Dev: "wan0"}}}
	}
	ps := []*render.Packet{
		mk("lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S", "forward", "", "NEW #1", 1),
		mk("wan0 udp 198.51.100.1:53 > 203.0.113.2:4000 len=100", "drop", "policy", "INVALID", 2),
		mk("lan0 icmp6 2001:db8::1 > 2001:db8::2 echo", "drop", "rule", "NEW #2", 3),
		mk("lan0 tcp [2001:db8::1]:1 > [2001:db8::2]:22 A", "local", "", "ESTABLISHED #3", 4),
	}
	for _, c := range []struct {
		expr string
		want string // the numbers of the packets that it takes
	}{
		{"verdict==drop", "23"},
		{"verdict == DROP && reason != policy", "3"},
		{"n==17", ""},
		{"n>=2 && n<4", "23"},
		{"!(verdict==drop)", "14"},
		{"not verdict==drop or n==2", "124"},
		{"in==wan0", "2"},
		{"out==wan0", "1234"},
		{"ct==NEW", "13"},
		{"ct==#3", "4"},
		{"chain==WEB", "1234"},
		{"table==nat", ""},
		{"tcp", "14"},
		{"ip6", "34"},
		{"ip and tcp", "1"},
		{"tcp port 443", "1"},
		{"port 443 or 53", "12"},
		{"src port 53", "2"},
		{"dst port 53", ""},
		{"portrange 20-60", "24"},
		{"host 198.51.100.1", "12"},
		{"src host 198.51.100.1", "2"},
		{"dst 198.51.100.1", "1"},
		{"src or dst 198.51.100.1", "12"},
		{"net 2001:db8::/32", "34"},
		{"src net 192.0.2.0/24 and not port 80", "1"},
		{"ip proto 17", "2"},
		{"icmp6", "3"},
		{"greater 100", "2"},
		{"less 50 and len<50", "13"},
		{"udp || icmp6 && verdict==drop", "23"},
		{"(udp || icmp6) && reason==rule", "3"},
	} {
		f, err := Parse(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		got := ""
		for _, p := range ps {
			if f.Match(p) {
				got += string(rune('0' + p.N))
			}
		}
		if got != c.want {
			t.Errorf("%s: takes %q, want %q", c.expr, got, c.want)
		}
	}
	for _, c := range []struct{ expr, want string }{
		{"", "the expression is empty"},
		{"verdict==gone", `column 10: "gone" is no verdict: forward, local, output, drop, held`},
		{"colour==red", `column 1: "colour" is not a field: n, len, verdict, reason, in, out, ct, table, chain`},
		{"n==x", `column 4: "x" is not a number`},
		{"port http", `column 6: "http" is not a port`},
		{"(tcp", "column 5: a ) is missing"},
		{"tcp tcp", `column 5: "tcp" is too much here`},
		{"tcp and", "column 8: something is missing here"},
		{"frobnicate", `column 1: "frobnicate" is not understood; fields are compared with ==, addresses follow host, net, port …`},
		{"tcp & udp", `column 5: "&" is not understood`},
		{"reason<5", "column 7: reason is compared with == or !="},
	} {
		if _, err := Parse(c.expr); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.expr, err, c.want)
		}
	}
}

func TestEarlyKnowsWhatCannotChange(t *testing.T) {
	p, err := line.Parse("lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		expr string
		want Answer
	}{
		{"tcp", Yes},
		{"udp", No},
		{"in==lan0", Yes},
		{"verdict==drop", Maybe},
		{"!verdict==drop", Maybe},
		{"udp and verdict==drop", No},
		{"tcp and not verdict==drop", Maybe},
		{"tcp or verdict==drop", Yes},
		{"n==1", Maybe},
	} {
		f, err := Parse(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Early("lan0", p.Data[0]); got != c.want {
			t.Errorf("%s: %d, want %d", c.expr, got, c.want)
		}
	}
}

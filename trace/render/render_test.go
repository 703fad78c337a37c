package render

import (
	"encoding/json"
	"strings"
	"testing"

	"weir/trace"
)

// syn is 10.0.0.2 asking 192.0.2.80 for its port 80.
var syn = []byte{
	0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 198, 51, 100, 2, 192, 0, 2, 80,
	4, 210, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
}

func dropped() *Packet {
	return &Packet{
		N: 3, Time: 1767225600_000000001, In: "eth0", Data: syn, Verdict: "drop", Reason: "policy", Conn: "NEW #1",
		Steps: []trace.Step{
			{Kind: trace.KindConntrack, Hook: "PREROUTING", Text: "new #1 SYN_SENT, unconfirmed", Detail: []trace.Pair{{Key: "state", Value: "NEW"}}},
			{Kind: trace.KindNAT, Hook: "PREROUTING", Text: "192.0.2.80:80 -> 203.0.113.2:8080"},
			{Kind: trace.KindRule, Hook: "PREROUTING", Table: "nat", Chain: "PREROUTING", Rule: 1, Line: 9, File: "dir/rules.v4", Match: true,
				Text: "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 203.0.113.2:8080", Target: "DNAT", Verdict: "ACCEPT"},
			{Kind: trace.KindRoute, Hook: "PREROUTING", Text: "203.0.113.2 by eth1"},
			{Kind: trace.KindRule, Hook: "FORWARD", Table: "filter", Chain: "FORWARD", Rule: 1, Line: 14, File: "dir/rules.v4",
				Failed: "--ctstate RELATED,ESTABLISHED", Actual: "state is NEW"},
			{Kind: trace.KindRule, Hook: "FORWARD", Table: "filter", Chain: "FORWARD", Rule: 2, Line: 15, File: "dir/rules.v4", Match: true,
				Text: "-A FORWARD -j WEB", Target: "WEB", Verdict: "JUMP"},
			{Kind: trace.KindRule, Hook: "FORWARD", Table: "filter", Chain: "WEB", Rule: 1, Line: 17, File: "dir/rules.v4", Depth: 1,
				Failed: "--dport 443", Actual: "is 8080"},
			{Kind: trace.KindPolicy, Hook: "FORWARD", Table: "filter", Chain: "FORWARD", Verdict: "DROP"},
		},
	}
}

func TestTextPutsTheAnswerFirst(t *testing.T) {
	for _, c := range []struct {
		name string
		show Show
		want string
	}{
		{"all", ShowAll, `DROP    #3   +0.000000s  filter/FORWARD policy   tcp 198.51.100.2:1234 > 192.0.2.80:80 [S]   in eth0 out eth1   ct NEW #1
  PREROUTING   conntrack  new #1 SYN_SENT, unconfirmed
               nat        rules.v4:9   -p tcp -m tcp --dport 80 -j DNAT --to-destination 203.0.113.2:8080   192.0.2.80:80 -> 203.0.113.2:8080
  route                   203.0.113.2 by eth1
  FORWARD      filter     rules.v4:14  no: --ctstate RELATED,ESTABLISHED (state is NEW)
                          rules.v4:15  -> -j WEB
                          rules.v4:17    no: --dport 443 (is 8080)
                          policy DROP   decided here

`},
		{"matched", ShowMatched, `DROP    #3   +0.000000s  filter/FORWARD policy   tcp 198.51.100.2:1234 > 192.0.2.80:80 [S]   in eth0 out eth1   ct NEW #1
  PREROUTING   conntrack  new #1 SYN_SENT, unconfirmed
               nat        rules.v4:9   -p tcp -m tcp --dport 80 -j DNAT --to-destination 203.0.113.2:8080   192.0.2.80:80 -> 203.0.113.2:8080
  route                   203.0.113.2 by eth1
  FORWARD      filter     rules.v4:15  -> -j WEB
                          policy DROP   decided here

`},
		{"verdict", ShowVerdict, "DROP    #3   +0.000000s  filter/FORWARD policy   tcp 198.51.100.2:1234 > 192.0.2.80:80 [S]   in eth0 out eth1   ct NEW #1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Text{Show: c.show, Start: 1767225600_000000000}
			if got := string(r.Append(nil, dropped())); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestTheWalkFitsTheTerminal(t *testing.T) {
	const want = `DROP    #3   +0.000000s  filter/FORWARD policy   tcp 198.51.100.2:1234 > 192.0.2.80:80 [S]
               in eth0 out eth1   ct NEW #1
  PREROUTING   conntrack  new #1 SYN_SENT, unconfirmed
               nat        rules.v4:9   -p tcp -m tcp --dport 80 -j DNAT --to-destination…
                                         192.0.2.80:80 -> 203.0.113.2:8080
  route                   203.0.113.2 by eth1
  FORWARD      filter     rules.v4:14  no: --ctstate RELATED,ESTABLISHED (state is NEW)
                          rules.v4:15  -> -j WEB
                          rules.v4:17    no: --dport 443 (is 8080)
                          policy DROP   decided here

`
	r := Text{Start: 1767225600_000000000, Width: 90}
	p := dropped()
	if got := string(r.Append(nil, p)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for r.Width = 1; r.Width < 200; r.Width++ { // whatever the terminal, no panic and no line lost
		got := string(r.Append(nil, p))
		for _, s := range []string{"decided here", "ct NEW #1", "203.0.113.2:8080\n", "rules.v4:17"} {
			if !strings.Contains(got, s) {
				t.Fatalf("width %d lost %q:\n%s", r.Width, s, got)
			}
		}
	}
}

func TestCutKeepsWhatARuleDoes(t *testing.T) {
	for _, c := range []struct {
		name, text string
		width      int
		want       string
	}{
		{"a rule that fits", "-i lan0 -j ACCEPT", 17, "-i lan0 -j ACCEPT"},
		{"a long rule", `-s 192.0.2.0/24 -m comment --comment "who may" -j MASQUERADE`, 40, `-s 192.0.2.0/24 -m commen… -j MASQUERADE`},
		{"no blank before the mark", `-s 192.0.2.0/24 -m comment --comment "who may" -j DROP`, 24, `-s 192.0.2.0/24… -j DROP`},
		{"a target that is too long itself", "-p tcp -j REJECT --reject-with icmp-host-prohibited", 30, "-p tcp -j REJECT --reject-wit…"},
		{"a test", "no: -m comment of many words", 12, "no: -m comm…"},
		{"letters of several bytes", `-m comment --comment "äöüäöüäöüäöü" -j DROP`, 36, `-m comment --comment "äöüäö… -j DROP`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := cut(c.text, c.width); got != c.want || width(got) > c.width {
				t.Errorf("got %q (%d columns), want %q", got, width(got), c.want)
			}
		})
	}
}

func TestColourAddsNothingButColour(t *testing.T) {
	plain, coloured := Text{}, Text{Style: Style{Colour: true}}
	a, b := string(plain.Append(nil, dropped())), string(coloured.Append(nil, dropped()))
	if a == b {
		t.Fatal("no colour")
	}
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		if b[i] == 0x1b {
			for b[i] != 'm' {
				i++
			}
			continue
		}
		out.WriteByte(b[i])
	}
	// Blanks at the end of a line may hide behind a colour.
	trim := func(s string) string {
		ls := strings.Split(s, "\n")
		for i := range ls {
			ls[i] = strings.TrimRight(ls[i], " ")
		}
		return strings.Join(ls, "\n")
	}
	if trim(out.String()) != a {
		t.Errorf("got\n%s\nwant\n%s", out.String(), a)
	}
}

func TestJSONIsWhatInterfacesFix(t *testing.T) {
	p := &Packet{N: 1, Time: 1767225600_000000001, In: "lan0", Verdict: "forward", Out: []Out{{Dev: "wan0", Data: []byte{0x45, 0}}}}
	const want = `{"n":1,"time":"2026-01-01T00:00:00.000000001Z","in":"lan0","verdict":"forward","reason":"","out":[{"dev":"wan0","data":"4500"}]}` + "\n"
	if got := string(AppendJSON(nil, p, false)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	var v struct {
		Out   []any
		Steps []map[string]any
	}
	if err := json.Unmarshal(AppendJSON(nil, dropped(), true), &v); err != nil {
		t.Fatal(err)
	}
	if v.Out == nil || len(v.Steps) != 8 || v.Steps[4]["match"] != false || v.Steps[4]["failed"] != "--ctstate RELATED,ESTABLISHED" || v.Steps[2]["rule"] != 1.0 {
		t.Errorf("%v", v)
	}
}

func TestJSONStringsAreValid(t *testing.T) {
	for _, s := range []string{"", `"\`, "\x00\x1f\x7f\n\t", "\xff\xfe", "ü–€", "</script>"} {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") && !strings.Contains(s, "\xff") {
			t.Errorf("%q: %q %v", s, got, err)
		}
	}
}

func FuzzSummary(f *testing.F) {
	f.Add(syn)
	f.Add([]byte{0x60, 0, 0, 0, 0, 8, 58, 64, 39: 1, 40: 1, 47: 0})
	f.Fuzz(func(t *testing.T, d []byte) {
		s := Summary(d)
		if s == "" || strings.ContainsAny(s, "\n\x00") || len(s) > 1000 {
			t.Errorf("%q", s)
		}
	})
}

package unit

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weir/packet"
	"weir/trace"
	"weir/trace/render"
	"weir/xtables"
)

// Want is what has to become of a packet.
type Want struct {
	Text string // behind "->"
	Pos  xtables.Pos
	fate string
	asks []ask
}

// ask is one further thing that has to hold.
type ask struct {
	what string // out, src, dst, by, ct, reason, with, log
	arg  string
}

// fates are the first words of an expectation.
func fates() []string {
	return []string{"forward", "local", "output", "pass", "drop", "reject", "blocked", "held"}
}

func words() []string { return []string{"out", "src", "dst", "by", "ct", "reason", "with", "log"} }

// parseWant reads "-> forward out wan0". at is where an error lies, in bytes
// from the beginning of text.
func parseWant(text string) (w *Want, at int, msg string) {
	w = &Want{Text: strings.TrimSpace(strings.TrimPrefix(text, "->"))}
	toks, at, msg := tokens(text)
	if msg != "" {
		return w, at, msg
	}
	toks = toks[1:]
	if len(toks) == 0 {
		return w, 0, "expected what becomes of the packet: " + strings.Join(fates(), ", ")
	}
	if w.fate = toks[0].text; !slices.Contains(fates(), w.fate) {
		return w, toks[0].at, "no fate is called " + strconv.Quote(w.fate) + ": " + strings.Join(fates(), ", ")
	}
	for i := 1; i < len(toks); i += 2 {
		t := toks[i]
		if !slices.Contains(words(), t.text) {
			return w, t.at, "unexpected " + strconv.Quote(t.text) + "; behind the fate stand " + strings.Join(words(), ", ") + ", each with a value"
		}
		if i+1 == len(toks) {
			return w, t.at, t.text + " needs a value"
		}
		v := toks[i+1].text
		if t.text == "by" && i+2 < len(toks) && toks[i+2].text == "policy" {
			v += " policy"
			i++
		}
		if msg := checkValue(t.text, v); msg != "" {
			return w, toks[i+1].at, msg
		}
		w.asks = append(w.asks, ask{t.text, v})
	}
	return w, 0, ""
}

type token struct {
	text string
	at   int
}

// tokens cuts at blanks; double quotes keep together.
func tokens(s string) (ts []token, at int, msg string) {
	for i := 0; i < len(s); {
		switch {
		case s[i] == ' ' || s[i] == '\t':
			i++
		case s[i] == '#':
			return ts, 0, ""
		case s[i] == '"':
			n := strings.IndexByte(s[i+1:], '"')
			if n < 0 {
				return ts, i, "this quote is not closed"
			}
			ts = append(ts, token{s[i+1 : i+1+n], i})
			i += n + 2
		default:
			n := i
			for n < len(s) && s[n] != ' ' && s[n] != '\t' {
				n++
			}
			ts = append(ts, token{s[i:n], i})
			i = n
		}
	}
	return ts, 0, ""
}

func checkValue(what, v string) string {
	switch what {
	case "src", "dst":
		if _, _, ok := endpoint(v); !ok {
			return strconv.Quote(v) + " is not ADDRESS or ADDRESS:PORT (IPv6: [ADDRESS]:PORT)"
		}
	case "by":
		place, _, _ := strings.Cut(v, " ")
		t, c, ok := strings.Cut(place, "/")
		if !ok || c == "" || xtables.TablePoints(t) == 0 {
			return strconv.Quote(v) + " is not TABLE/CHAIN, TABLE/CHAIN:NUMBER or TABLE/CHAIN policy"
		}
	case "ct":
		if !slices.Contains([]string{"NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"}, v) {
			return strconv.Quote(v) + " is not NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED"
		}
	}
	return ""
}

// endpoint reads ADDRESS or ADDRESS:PORT; port is -1 without.
func endpoint(s string) (a netip.Addr, port int, ok bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr(), int(ap.Port()), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a, -1, err == nil
}

// fails says what is not as wanted; empty if all is.
func (w *Want) fails(p *render.Packet) string {
	if got := fate(p); !is(w.fate, got) {
		if at := render.Where(p); at != "" {
			got += " by " + at
		}
		return got
	}
	for _, a := range w.asks {
		if msg := a.fails(p); msg != "" {
			return msg
		}
	}
	return ""
}

// fate is what became of a packet, in the words of expectations.
func fate(p *render.Packet) string {
	if p.Verdict == "drop" && p.Reason == "reject" {
		return "reject"
	}
	return p.Verdict
}

func is(want, got string) bool {
	switch want {
	case "pass":
		return got == "forward" || got == "local" || got == "output"
	case "blocked":
		return got == "drop" || got == "reject"
	}
	return want == got
}

func (a *ask) fails(p *render.Packet) string {
	switch a.what {
	case "out":
		if len(p.Out) == 0 {
			return "nothing left"
		}
		var devs []string
		for _, o := range p.Out {
			devs = append(devs, o.Dev)
		}
		if !slices.Contains(devs, a.arg) {
			return "it left by " + strings.Join(devs, ", ")
		}
	case "src", "dst":
		return a.end(p)
	case "by":
		return a.place(p)
	case "ct":
		got, _, _ := strings.Cut(p.Conn, " ")
		if got != a.arg {
			return "connection tracking says " + strconv.Quote(p.Conn)
		}
	case "reason":
		if p.Reason != a.arg {
			return "the reason is " + strconv.Quote(p.Reason)
		}
	case "with":
		return a.answer(p)
	case "log":
		if !slices.ContainsFunc(p.Logs, func(l string) bool { return strings.Contains(l, a.arg) }) {
			return "no line of the log has it"
		}
	}
	return ""
}

// end compares an end of the packet that left last.
func (a *ask) end(p *render.Packet) string {
	if len(p.Out) == 0 {
		return "nothing left"
	}
	want, port, _ := endpoint(a.arg)
	var q packet.Packet
	if err := packet.Parse(slices.Clone(p.Out[len(p.Out)-1].Data), &q); err != nil {
		return "what left is malformed"
	}
	addr, off := q.Src(), 0
	if a.what == "dst" {
		addr, off = q.Dst(), 2
	}
	got := addr.IP(q.Family).String()
	l4 := q.Payload()
	ok := addr.IP(q.Family) == want
	if port >= 0 {
		if q.FragOff != 0 || len(l4) < 4 {
			return "what left has no ports"
		}
		n := int(l4[off])<<8 | int(l4[off+1])
		got = netip.AddrPortFrom(addr.IP(q.Family), uint16(n)).String()
		ok = ok && n == port
	}
	if !ok {
		return a.what + " of what left is " + got
	}
	return ""
}

// place asks for the rule or policy that decided.
func (a *ask) place(p *render.Packet) string {
	place, policy, _ := strings.Cut(a.arg, " ")
	number := 0
	if i := strings.LastIndexByte(place, ':'); i >= 0 {
		if n, err := strconv.Atoi(place[i+1:]); err == nil {
			place, number = place[:i], n
		}
	}
	verdicts := []string{"ACCEPT"}
	if p.Verdict == "drop" {
		verdicts = []string{"DROP"}
	}
	last := ""
	for i := range p.Steps {
		s := &p.Steps[i]
		rule := s.Kind == trace.KindRule && s.Match
		if !rule && s.Kind != trace.KindPolicy || !slices.Contains(verdicts, s.Verdict) {
			continue
		}
		last = s.Table + "/" + s.Chain
		if rule {
			last += ":" + strconv.Itoa(s.Rule)
		} else {
			last += " policy"
		}
		if s.Table+"/"+s.Chain == place && (policy == "" || !rule) && (number == 0 || rule && s.Rule == number) {
			return ""
		}
	}
	if last == "" {
		return "no rule and no policy decided it"
	}
	return "it was decided by " + last
}

// answer looks for the machine's answer: tcp-reset, or an ICMP message by name.
func (a *ask) answer(p *render.Packet) string {
	for _, o := range p.Out {
		s := render.Summary(o.Data)
		switch {
		case a.arg == "tcp-reset":
			if strings.HasPrefix(s, "tcp ") && strings.Contains(s, "[R") {
				return ""
			}
		case strings.HasPrefix(s, "icmp") && strings.Contains(strings.ReplaceAll(s, " ", "-")+"-", "-"+a.arg+"-"):
			return ""
		}
	}
	if len(p.Out) == 0 {
		return "there is no answer"
	}
	return "the answer is " + render.Summary(p.Out[0].Data)
}

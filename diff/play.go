package diff

import (
	"fmt"
	"net/netip"
	"strings"

	"weir/conntrack"
	"weir/engine"
	"weir/lint"
	"weir/machine"
	"weir/replay"
	"weir/scenario/line"
)

// turn is what happens next in a dialogue: a packet that is written out, or one
// that follows from what became of those before.
type turn struct {
	line string
	kind turnKind
	word string // flags of an answer
}

type turnKind uint8

const (
	written turnKind = iota
	answer           // of the other end to the packet before
	failure          // an ICMP error about it
)

// dialogues are the ways to show a packet: with what brings its connection into
// the state that it wants to have.
func dialogues(s *lint.Sample) [][]turn {
	l := s.Line()
	ws := strings.Fields(s.Packet)
	tcp := ws[0] == "tcp"
	open := l
	if tcp && len(ws) > 4 {
		w := append([]string(nil), ws...)
		w[4] = "S"
		open = strings.TrimSuffix(l, s.Packet) + strings.Join(w, " ")
	}
	back := turn{kind: answer, word: "SA"}
	switch s.State {
	case conntrack.StateEstablished:
		list := [][]turn{{{line: open}, back, {line: l}}}
		if len(ws) > 3 && ws[2] == ">" { // it is the answer
			w := append([]string(nil), ws...)
			w[1], w[3] = w[3], w[1]
			in := s.Out
			if in == "" {
				in = machine.Local
			}
			if tcp && len(w) > 4 {
				w[4] = "S"
				list = append(list, []turn{{line: in + " " + strings.Join(w, " ")}, back, {line: l}})
			} else {
				list = append(list, []turn{{line: in + " " + strings.Join(w, " ")}, {line: l}})
			}
		}
		return list
	case conntrack.StateInvalid:
		list := [][]turn{{{line: l}}, {{line: l + " badsum"}}}
		if tcp && len(ws) > 4 {
			for _, f := range []string{"R", "SA", "SF"} {
				w := append([]string(nil), ws...)
				w[4] = f
				list = append(list, []turn{{line: strings.TrimSuffix(l, s.Packet) + strings.Join(w, " ")}})
			}
		}
		return list
	case conntrack.StateRelated:
		return [][]turn{{{line: open}, {kind: failure}}}
	}
	list := []turn{{line: l}, back}
	if tcp {
		list = append(list, turn{line: strings.Replace(open, " S", " A", 1)})
	}
	return [][]turn{append(list, turn{kind: failure})}
}

// pair is two machines that get the same packets.
type pair struct {
	a, b *engine.Machine
	now  int64
	n    int // packets so far
}

// play runs a dialogue up to the first packet that the two treat differently.
// lines are the packets up to there.
func (p *pair) play(turns []turn) (lines []string, x, y Outcome, differ bool) {
	var last engine.Result
	for _, t := range turns {
		l := t.line
		if t.kind != written {
			if l = follow(t, &last, lines[len(lines)-1]); l == "" {
				return lines, x, y, false
			}
		}
		k, err := line.Parse(l)
		if err != nil {
			return lines, x, y, false
		}
		lines = append(lines, l)
		for _, d := range k.Data {
			p.n++
			p.now += 1e6
			ra, ok1 := feed(p.a, k.In, k.Link, append([]byte(nil), d...), p.now)
			x = outcome(&ra, d)
			rb, ok2 := feed(p.b, k.In, k.Link, append([]byte(nil), d...), p.now)
			y = outcome(&rb, d)
			if !ok1 || !ok2 {
				return lines, x, y, false
			}
			if x.key != y.key {
				return lines, x, y, true
			}
			last = ra
		}
		if last.Verdict == engine.Dropped {
			return lines, x, y, false
		}
	}
	return lines, x, y, false
}

// follow writes the packet that the other end sends next; before is the packet
// that it answers.
func follow(t turn, last *engine.Result, before string) string {
	in := machine.Local
	if last.Verdict != engine.Delivered {
		if len(last.Out) == 0 {
			return ""
		}
		in = last.Out[len(last.Out)-1].Dev.Name
	}
	ws := strings.Fields(before)
	if len(ws) < 5 || ws[1] != "tcp" && ws[1] != "udp" {
		return ""
	}
	word, from, to := ws[1], ws[4], ws[2]
	if c := last.CT.Conn; c != nil && c.Seq != 0 {
		r := &c.Tuple[conntrack.Reply]
		from, to = end(r.L3, r.Src, r.SrcL4, r.Proto), end(r.L3, r.Dst, r.DstL4, r.Proto)
	}
	a, err1 := netip.ParseAddrPort(from)
	b, err2 := netip.ParseAddrPort(to)
	if err1 != nil || err2 != nil {
		return ""
	}
	src, dst := a.Addr(), b.Addr()
	switch {
	case t.kind == answer && word == "tcp":
		return fmt.Sprintf("%s tcp %s > %s %s", in, from, to, t.word)
	case t.kind == answer:
		return fmt.Sprintf("%s udp %s > %s", in, from, to)
	}
	icmp := "icmp"
	if a.Addr().Is6() {
		icmp = "icmp6"
	}
	return fmt.Sprintf("%s %s %s > %s port-unreachable [%s %s > %s]", in, icmp, src, dst, word, to, from)
}

// rest lets so much time pass that no connection and no limit remembers
// anything.
func (p *pair) rest() { p.now += 20 * 24 * 3600 * 1e9 }

// newPair makes two fresh machines.
func newPair(a, b engine.Config) (*pair, []error) {
	ma, errs := engine.New(a)
	mb, more := engine.New(b)
	if errs = append(errs, more...); len(errs) > 0 {
		return nil, errs
	}
	return &pair{a: ma, b: mb, now: replay.Epoch}, nil
}

// again plays lines to fresh machines and tells how the last one fared.
func again(a, b engine.Config, lines []string) (x, y Outcome, differ bool) {
	p, errs := newPair(a, b)
	if len(errs) > 0 {
		return x, y, false
	}
	p.a.Trace(true)
	p.b.Trace(true)
	var turns []turn
	for _, l := range lines {
		turns = append(turns, turn{line: l})
	}
	got, x, y, differ := p.play(turns)
	return x, y, differ && len(got) == len(lines)
}

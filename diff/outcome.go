package diff

import (
	"encoding/hex"
	"fmt"

	"weir/conntrack"
	"weir/engine"
	"weir/lint"
	"weir/machine"
	"weir/packet"
	"weir/trace"
	"weir/trace/render"
)

// Outcome is what a machine made of a packet.
type Outcome struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	Out     []Out  `json:"out,omitempty"`
	// Reply is how an answer has to look, where that is not the packet turned
	// round.
	Reply string `json:"reply,omitempty"`
	// By is the rule that decided, if one did; Policy the chain whose policy
	// did.
	By     *lint.Place `json:"by,omitempty"`
	Policy string      `json:"policy,omitempty"`

	key  string // what is compared
	flow string // the connection; empty if there is none
}

// Out is a packet that left.
type Out struct {
	Dev    string `json:"dev"`
	Packet string `json:"packet"`
}

// outcome takes down a result before the machine goes on. pkt is the packet as
// it came.
func outcome(res *engine.Result, pkt []byte) Outcome {
	o := Outcome{Verdict: string(res.Verdict), Reason: res.Reason.String()}
	o.key = o.Verdict
	for i := range res.Out {
		x := &res.Out[i]
		o.Out = append(o.Out, Out{x.Dev.Name, render.Summary(x.Data)})
		o.key += " " + x.Dev.Name + " " + plain(x.Data)
	}
	if c := res.CT.Conn; c != nil && c.Seq != 0 && res.Verdict != engine.Dropped {
		r, t := &c.Tuple[conntrack.Reply], &c.Tuple[conntrack.Original]
		o.flow = flowName(t.L3, t.Proto, t.Src, t.Dst, t.SrcL4, t.DstL4)
		if c.Has(conntrack.SrcNAT) || c.Has(conntrack.DstNAT) {
			o.key += fmt.Sprintf(" %v", *r)
			o.Reply = end(r.L3, r.Src, r.SrcL4, r.Proto) + " > " + end(r.L3, r.Dst, r.DstL4, r.Proto)
		}
	}
	o.decider(res.Steps)
	return o
}

// plain is a packet without what hangs on chance: the identification of IPv4.
func plain(d []byte) string {
	c := append([]byte(nil), d...)
	if len(c) >= 20 && c[0]>>4 == 4 {
		copy(c[4:6], "\x00\x00")
		copy(c[10:12], "\x00\x00")
	}
	return hex.EncodeToString(c)
}

// decider finds the step that decided: of a drop the last one, else the rule
// that translated, else what let it pass the filter.
func (o *Outcome) decider(steps []trace.Step) {
	var best *trace.Step
	rank := 0
	dropped := o.Verdict == string(engine.Dropped)
	for i := range steps {
		s := &steps[i]
		if s.Kind == trace.KindEmit && !dropped {
			break // the walk of an answer follows
		}
		n := 0
		switch s.Verdict {
		case "CONTINUE", "JUMP", "GOTO", "RETURN":
		default:
			if s.Kind == trace.KindPolicy {
				n = 1
			} else if s.Kind == trace.KindRule && s.Match {
				n = 2
			}
		}
		switch {
		case n == 0 || dropped && s.Verdict != "DROP":
			continue
		case dropped:
		case s.Table == "nat" && n == 2:
			n = 5
		case s.Table == "filter":
			n += 2
		}
		if n >= rank || dropped {
			best, rank = s, n
		}
	}
	switch {
	case best == nil:
	case best.Kind == trace.KindPolicy:
		o.Policy = best.Table + " " + best.Chain
	default:
		o.By = &lint.Place{File: best.File, Line: best.Line, Chain: best.Chain, Rule: best.Rule, Text: best.Text}
	}
}

// end is an address with its port.
func end(f packet.Family, a packet.Addr, port uint16, proto uint8) string {
	s := a.IP(f).String()
	switch proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP:
		if f == packet.IPv6 {
			return fmt.Sprintf("[%s]:%d", s, port)
		}
		return fmt.Sprintf("%s:%d", s, port)
	}
	return s
}

// feed gives one packet to a machine.
func feed(m *engine.Machine, in string, link packet.Link, data []byte, now int64) (engine.Result, bool) {
	if in == machine.Local {
		return m.Send(data, nil, now), true
	}
	i := m.Ifaces().Name(in)
	if i == nil {
		return engine.Result{}, false
	}
	return m.Receive(i, link, data, now), true
}

// append writes what one of the two did.
func (o *Outcome) append(b []byte, name string, paint func(code, s string) string) []byte {
	code := "32"
	if o.Verdict == string(engine.Dropped) {
		code = "31"
	}
	b = fmt.Appendf(b, "    %s  %s", name, paint(code, o.Verdict))
	if o.Verdict == string(engine.Dropped) && o.Reason != "" {
		b = fmt.Appendf(b, " (%s)", o.Reason)
	}
	for i, x := range o.Out {
		if i < 3 {
			b = fmt.Appendf(b, ", %s: %s", x.Dev, x.Packet)
		}
	}
	if o.Reply != "" {
		b = fmt.Appendf(b, ", answered as %s", o.Reply)
	}
	b = append(b, '\n')
	switch {
	case o.By != nil:
		b = fmt.Appendf(b, "         %s  %s\n", paint("2", fmt.Sprintf("%s:%d:", o.By.File, o.By.Line)), o.By.Text)
	case o.Policy != "":
		b = fmt.Appendf(b, "         %s\n", paint("2", "policy of "+o.Policy))
	}
	return b
}

// by names the decider, to tell differences apart.
func (o *Outcome) by() string {
	if o.By != nil {
		return fmt.Sprintf("%s %d", o.By.Chain, o.By.Line)
	}
	return o.Policy
}

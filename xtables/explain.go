package xtables

import (
	"strconv"
	"strings"

	"weir/hook"
	"weir/trace"
	"weir/xtables/logline"
	"weir/xtables/names"
)

// This file is all that runs only while a packet is traced.

// AppendRule implements hook.Place: table, chain, the rule's number and text.
func (tb *Table) AppendRule(b []byte, op int32) []byte {
	if op < 0 || int(op) >= len(tb.of) || tb.rules[op] == nil {
		return b
	}
	c := tb.of[op]
	b = append(append(append(append(b, tb.Name...), ' '), c.Name...), ' ')
	b = append(strconv.AppendInt(b, int64(op)-int64(c.start)+1, 10), ':')
	return tb.rules[op].Append(b)
}

// step is the step of a rule without its outcome.
func (tb *Table) step(pc int32, depth int) trace.Step {
	c, r := tb.of[pc], tb.rules[pc]
	s := trace.Step{Kind: trace.KindRule, Table: tb.Name, Chain: c.Name, Depth: depth}
	if r == nil {
		s.Kind = trace.KindPolicy
		return s
	}
	s.Rule = int(pc) - c.start + 1
	s.Text = strings.TrimPrefix(string(r.Append(nil)), " ")
	s.File, s.Line = r.Pos.File, r.Pos.Line
	s.Target = r.Target.Name
	return s
}

func (tb *Table) traceBase(t *hook.Traversal, v *view, pc int32, fail Test, depth int) {
	s := tb.step(pc, depth)
	b := &tb.rules[pc].Base
	s.Failed = strings.TrimPrefix(string(b.appendTest(nil, fail)), " ")
	p := t.Pkt
	switch fail {
	case TestSrc:
		s.Actual = "is " + p.Src().IP(p.Family).String()
	case TestDst:
		s.Actual = "is " + p.Dst().IP(p.Family).String()
	case TestIn:
		s.Actual = "there is none"
		if t.In != nil {
			s.Actual = "is " + t.In.Name
		}
	case TestOut:
		s.Actual = "there is none"
		if t.Out != nil {
			s.Actual = "is " + t.Out.Name
		}
	case TestProto:
		if s.Failed == "" {
			s.Failed = "-p all"
		}
		switch v.lastHdr {
		case -1:
			s.Actual = "is a later fragment"
		case -2:
			s.Actual = "the header chain is broken"
		default:
			s.Actual = "is " + protoText(v.proto)
		}
	case TestFragment:
		s.Actual = "is no later fragment"
		if v.frag {
			s.Actual = "is a later fragment"
		}
	}
	tb.hotdropped(t, &s)
	t.Trace.Add(s)
}

func protoText(p uint8) string {
	if n, ok := names.ProtocolName(p); ok {
		return n
	}
	return strconv.Itoa(int(p))
}

// traceMatch must be called before anything else runs after the match.
func (tb *Table) traceMatch(t *hook.Traversal, pc int32, i, depth int) {
	m := &tb.rules[pc].Matches[i]
	actual := ""
	if e, ok := m.Match.(Explainer); ok {
		actual = e.Explain(t)
	}
	s := tb.step(pc, depth)
	s.Failed, s.Actual = blame(strings.TrimPrefix(string(m.Match.AppendArgs(nil)), " "), actual)
	if s.Failed == "" {
		s.Failed = "-m " + m.Ext.Name
	}
	tb.hotdropped(t, &s)
	t.Trace.Add(s)
}

// blame picks the option that an explanation speaks of: of "--sport 1 --dport
// 443" and "dport is 80" it makes "--dport 443" and "is 80".
func blame(args, actual string) (failed, rest string) {
	word, rest, ok := strings.Cut(actual, " ")
	if !ok || word == "" {
		return args, actual
	}
	from := strings.Index(args, "--"+word+" ")
	if from < 0 || from > 0 && args[from-1] != ' ' {
		return args, actual
	}
	to := len(args)
	if i := strings.Index(args[from+2:], " --"); i >= 0 {
		to = from + 2 + i
		to = len(strings.TrimSuffix(args[:to], " !"))
	}
	if strings.HasSuffix(args[:from], "! ") {
		from -= 2
	}
	return args[from:to], rest
}

// hotdropped marks the step of a rule that could not judge the packet.
func (tb *Table) hotdropped(t *hook.Traversal, s *trace.Step) {
	if t.Hotdrop {
		s.Match, s.Verdict = true, "DROP"
		s.Detail = append(s.Detail, trace.Pair{Key: "hotdrop", Value: s.Failed + " (" + s.Actual + ")"})
	}
}

// plainVerdict is the verdict of an op that needs no extension to decide.
func plainVerdict(o *op) string {
	switch o.kind {
	case KindAccept:
		return "ACCEPT"
	case KindDrop:
		return "DROP"
	case KindQueue:
		return "QUEUE"
	case KindReturn:
		return "RETURN"
	case KindJump:
		return "JUMP"
	case KindGoto:
		return "GOTO"
	case kindPolicy:
		if o.flags&flagDrop != 0 {
			return "DROP"
		}
		return "ACCEPT"
	default:
		return "CONTINUE"
	}
}

// traceRule records a rule that matched or the policy. The end of a user's
// chain says nothing.
func (tb *Table) traceRule(t *hook.Traversal, pc int32, verdict string, depth int) {
	if tb.ops[pc].kind == kindImplicit {
		return
	}
	s := tb.step(pc, depth)
	s.Match, s.Verdict = true, verdict
	t.Trace.Add(s)
}

// logTrace writes the line that -j TRACE asked for.
//
// Linux: net/ipv4/netfilter/ip_tables.c trace_packet. A rule without a test
// that is a plain verdict counts as the end of its chain there.
func (tb *Table) logTrace(t *hook.Traversal, pc int32) {
	if t.Env == nil || t.Env.Log == nil {
		return
	}
	o, c := &tb.ops[pc], tb.of[pc]
	what := "rule"
	switch o.kind {
	case kindPolicy:
		what = "policy"
	case kindImplicit:
		what = "return"
	case KindAccept, KindDrop, KindQueue, KindReturn:
		if o.flags&flagUncond != 0 {
			what = "return"
			if c.Builtin {
				what = "policy"
			}
		}
	}
	prefix := "TRACE: " + tb.Name + ":" + c.Name + ":" + what + ":" + strconv.Itoa(int(pc)-c.start+1) + " "
	t.Env.Log.Log(t, hook.LogRecord{Source: "TRACE", Level: 4,
		Text: string(logline.Append(nil, prefix, t, logline.All))})
}

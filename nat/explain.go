package nat

import (
	"net/netip"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/trace"
)

// sideText is one side of a tuple for traces: 192.0.2.1:80, or for ICMP
// 192.0.2.1 id 7.
func sideText(t *conntrack.Tuple, m Manip) string {
	a, p := t.Src, t.SrcL4
	if m == Destination {
		a, p = t.Dst, t.DstL4
	}
	ip := a.IP(t.L3)
	switch t.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		return netip.AddrPortFrom(ip, p).String()
	case packet.ICMP, packet.ICMPv6:
		return ip.String() + " id " + strconv.Itoa(int(t.SrcL4))
	}
	return ip.String()
}

// explain adds the step that tells which mapping was chosen, and why.
func (s *search) explain(cur, next *conntrack.Tuple, null bool) {
	side := "source"
	if s.m == Destination {
		side = "destination"
	}
	step := trace.Step{Kind: trace.KindNAT, Match: *next != *cur, Verdict: "ACCEPT"}
	switch {
	case null && *next == *cur:
		step.Text = side + " stays (null binding)"
		s.how = ""
	case *next == *cur:
		step.Text = side + " " + sideText(cur, s.m) + " stays"
		if s.how == "" {
			s.how = "it is in the range and free"
		}
	default:
		step.Text = sideText(cur, s.m) + " -> " + sideText(next, s.m)
		if null {
			step.Text += " (null binding: the answer's tuple was taken)"
		}
	}
	if s.how != "" {
		step.Detail = append(step.Detail, trace.Pair{Key: "chosen", Value: s.how})
	}
	s.t.Trace.Add(step)
}

// explainSearch says why and where a port is searched that is not the one in t.
func (s *search) explainSearch(t *conntrack.Tuple, lo, size uint32) string {
	word := "port"
	switch t.Proto {
	case packet.ICMP, packet.ICMPv6:
		word = "id"
	case packet.GRE:
		word = "key"
	}
	r, text := s.r, ""
	if r.Flags&(randomMask|ProtoOffset) == 0 && (r.Flags&ProtoSpecified == 0 || r.portIn(t, s.m)) {
		text = word + " " + strconv.Itoa(int(*key(t, s.m))) + " is taken, "
	}
	if size == 1 {
		return text + strconv.Itoa(int(lo)) + " is the only " + word
	}
	text += "searched in " + strconv.Itoa(int(lo)) + "-" + strconv.Itoa(int(lo+size-1))
	switch {
	case r.Flags&ProtoOffset != 0:
		text += " from where it is from " + strconv.Itoa(int(r.BasePort))
	case r.Flags&randomMask != 0 || s.m == Source:
		text += " from a random one"
	default:
		text += " from the first"
	}
	return text
}

// refuse drops a packet that cannot be translated and says why.
func refuse(t *hook.Traversal, why string) hook.Verdict {
	if t.Trace.On() {
		t.Trace.Add(trace.Step{Kind: trace.KindNAT, Text: why, Verdict: "DROP"})
	}
	return t.Drop(hook.ReasonNATFailed)
}

// fail is refuse for those who answer whether they succeeded.
func fail(t *hook.Traversal, why string) bool {
	refuse(t, why)
	return false
}

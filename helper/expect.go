package helper

import (
	"net/netip"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/nat"
	"weir/packet"
	"weir/trace"
)

// What NAT does with expected connections.
const (
	fnNone   conntrack.ExpectFn = iota
	fnFollow                    // translated as the master is
	fnPPTP                      // a call
	fnSIP                       // a call or a stream of media
)

// FnName is the name that Linux has for what NAT does with an expected
// connection, empty for none.
func FnName(f conntrack.ExpectFn) string {
	switch f {
	case fnFollow:
		return "nat-follow-master"
	case fnSIP:
		return "sip"
	}
	return ""
}

// expect describes a connection to dst and dport from src, or from anywhere if
// that is nil. Linux: nf_ct_expect_init.
func (k *call) expect(class, proto uint8, src *packet.Addr, dst packet.Addr, dport uint16) conntrack.Expect {
	f := k.c.Tuple[0].L3
	e := conntrack.Expect{Master: k.c.ID(), Class: class}
	e.Tuple.L3, e.Tuple.Proto, e.Tuple.Dst, e.Tuple.DstL4 = f, proto, dst, dport
	if src != nil {
		e.Tuple.Src = *src
		for i := range f.Len() {
			e.SrcMask[i] = 0xff
		}
	}
	return e
}

// enter makes an expectation known.
func (k *call) enter(e *conntrack.Expect, anyMaster bool) (*conntrack.Expect, conntrack.ExpectResult) {
	x, res := k.tb.Expect(e, anyMaster, k.t.Now)
	if k.t.Trace.On() {
		k.tell(result(e, res))
	}
	return x, res
}

// result tells in words what became of an expectation.
func result(e *conntrack.Expect, res conntrack.ExpectResult) string {
	what := describe(e)
	switch res {
	case conntrack.ExpectOK:
		return "expects " + what
	case conntrack.ExpectBusy:
		return "cannot expect " + what + ": another connection is expected there"
	case conntrack.ExpectAlready:
		return "need not expect " + what + ": it is expected already"
	case conntrack.ExpectFull:
		return "cannot expect " + what + ": too many are expected"
	}
	return "cannot expect " + what + ": the connection has no helper"
}

// describe is an expectation in words.
func describe(e *conntrack.Expect) string {
	t := &e.Tuple
	from := "anywhere"
	if e.SrcMask != (packet.Addr{}) {
		from = t.Src.IP(t.L3).String()
	}
	if e.SrcL4Mask != 0 {
		from += " port " + strconv.Itoa(int(t.SrcL4))
	}
	to := netip.AddrPortFrom(t.Dst.IP(t.L3), t.DstL4).String()
	s := protoName(t.Proto) + " from " + from + " to " + to
	if e.Flags&conntrack.ExpectInactive != 0 {
		s += ", not yet active"
	}
	return s
}

func protoName(p uint8) string {
	switch p {
	case packet.TCP:
		return "tcp"
	case packet.UDP:
		return "udp"
	case packet.GRE:
		return "gre"
	}
	return "protocol " + strconv.Itoa(int(p))
}

// findPort enters an expectation with the port that it has or, if another is
// expected there, with another above it. It is nil when no port is free; the
// expectation then keeps the last one that was tried.
// Linux: nf_nat_exp_find_port.
func (k *call) findPort(e *conntrack.Expect, port uint16) *conntrack.Expect {
	const attempts = 128
	size := uint32(65535 - port)
	left := int(min(size, attempts))
	for n := port; ; {
		e.Tuple.DstL4 = n
		x, res := k.enter(e, false)
		if res == conntrack.ExpectOK && n != 0 {
			return x
		}
		left--
		if res != conntrack.ExpectBusy || left < 0 {
			return nil
		}
		n = port + uint16(k.t.Env.Rand.PortOffset(uint32(port), size, false)%max(size, 1))
	}
}

// Expected finishes a new connection that met an expectation: its translation
// follows from it. Linux: the expectfn of an expectation.
func Expected(t *hook.Traversal, e *conntrack.Expect) {
	c := t.CT.Conn
	master := t.Env.CT.ByID(e.Master)
	if t.Trace.On() {
		t.Trace.Add(trace.Step{
			Kind: trace.KindHelper, Match: true, Verdict: "ACCEPT",
			Text: "met what the " + t.Env.CT.HelperName(e.Helper) + " helper of #" + strconv.FormatUint(master.Seq, 10) +
				" expects: " + describe(e),
		})
	}
	switch e.Fn {
	case fnFollow:
		follow(t, c, master, e)
	case fnSIP:
		sipExpected(t, c, master, e)
	case fnPPTP:
		pptpExpected(t, c, master, e)
	}
}

// follow translates an expected connection as its master is: its source to
// where the master's packets seem to come from, its destination to where they
// go. Linux: nf_nat_follow_master.
func follow(t *hook.Traversal, c, master *conntrack.Conn, e *conntrack.Expect) {
	from := &master.Tuple[1-e.Dir]
	r := nat.Range{Flags: nat.MapIPs, MinAddr: from.Dst, MaxAddr: from.Dst}
	nat.Setup(t, c, &r, nat.Source)
	r = nat.Range{Flags: nat.MapIPs | nat.ProtoSpecified, MinAddr: from.Src, MaxAddr: from.Src, MinPort: e.SavedL4, MaxPort: e.SavedL4}
	nat.Setup(t, c, &r, nat.Destination)
}

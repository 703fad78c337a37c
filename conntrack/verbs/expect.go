package verbs

import (
	"weir/conntrack"
	"weir/packet"
)

// expectTuple is the tuple of an expectation that -D and -G name.
func (r *run) expectTuple() conntrack.Tuple { return r.tuples()[conntrack.Original] }

func (r *run) findExpect() (*conntrack.Expect, *Failure) {
	if r.number == packet.ICMPv6 && r.family == packet.IPv4 {
		return nil, failed("invalid parameters")
	}
	t := r.expectTuple()
	e := r.m.Table.FindExpect(&t, 0)
	if e == nil {
		return nil, failed("No such file or directory")
	}
	return e, nil
}

func (r *run) deleteExpect() *Failure {
	e, bad := r.findExpect()
	if bad != nil {
		return bad
	}
	r.m.Table.Unexpect(e, r.now)
	r.res.Changed = true
	return nil
}

func (r *run) getExpect() *Failure {
	e, bad := r.findExpect()
	if bad == nil {
		r.line("expect", func(b []byte) []byte { return r.print.Expect(b, r.m.Table, e, r.now) })
	}
	return bad
}

// createExpect is -I expect: a connection that is to come, with the one that is
// given as its master. It lives as long as the helper says; the timeout of the
// command line is for helpers outside of the kernel. Linux:
// ctnetlink_create_expect.
func (r *run) createExpect() *Failure {
	tb := r.m.Table
	o := r.tuples()[conntrack.Original]
	master, _ := tb.Lookup(&o, r.now)
	if master == nil {
		return failed("master conntrack not found")
	}
	if tb.Helper(master) == 0 {
		return failed("Operation not supported")
	}
	x := &conntrack.Expect{Tuple: r.exp.tuple, SrcMask: r.mask.tuple.Src, SrcL4Mask: r.mask.tuple.SrcL4, Master: master.ID()}
	x.Tuple.Proto, x.Tuple.L3 = r.number, r.family
	if tb.FindExpect(&x.Tuple, 0) != nil {
		return failed("File exists")
	}
	_, res := tb.Expect(x, false, r.now)
	switch res {
	case conntrack.ExpectOK:
	case conntrack.ExpectBusy:
		return failed("Device or resource busy")
	case conntrack.ExpectAlready:
		return failed("Operation already in progress")
	case conntrack.ExpectFull:
		return failed("Too many open files")
	default:
		return failed("Cannot send after transport endpoint shutdown")
	}
	r.res.Changed = true
	return nil
}

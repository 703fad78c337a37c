package verbs

import (
	"errors"

	"weir/conntrack"
	"weir/hook"
	"weir/nat"
	"weir/packet"
)

// tuples is both directions as the command line says them, without zones; what
// it does not say of one follows from the other, if nothing is said of that.
func (c *Command) tuples() (t [2]conntrack.Tuple) {
	a := &c.ct
	o, r := a.tuple, a.reply
	o.Proto, r.Proto = c.number, c.number
	o.L3, r.L3 = c.family, c.family
	if c.number == packet.ICMP || c.number == packet.ICMPv6 {
		o.SrcL4, o.DstL4 = a.icmpID, uint16(a.icmpType)<<8|uint16(a.icmpCode)
		// The answer's type goes without saying.
		if inv, ok := o.Inverse(); ok {
			r.SrcL4, r.DstL4 = inv.SrcL4, inv.DstL4
		}
	}
	if !hasPorts(c.number) && c.number != packet.ICMP && c.number != packet.ICMPv6 {
		o.SrcL4, o.DstL4, r.SrcL4, r.DstL4 = 0, 0, 0, 0 // of DCCP Linux tracks none
	}
	orig := a.has(fOrigSrc) || a.has(fOrigDst)
	reply := a.has(fReplySrc) || a.has(fReplyDst)
	switch {
	case orig && !reply:
		if inv, ok := o.Inverse(); ok {
			r = inv
		}
	case reply && !orig:
		if inv, ok := r.Inverse(); ok {
			o = inv
		}
	}
	return [2]conntrack.Tuple{o, r}
}

// foreign reports the ICMP of the other family.
func (c *Command) foreign() bool {
	return c.number == packet.ICMP && c.family == packet.IPv6 || c.number == packet.ICMPv6 && c.family == packet.IPv4
}

// zones is the zones of both directions; false when they contradict each other.
func (c *Command) zones() (zo, zr uint16, ok bool) {
	a := &c.ct
	zo, zr = a.zone, a.zone
	if a.has(fOrigZone) {
		if a.zone != 0 {
			return 0, 0, false
		}
		zo, zr = a.origZone, 0
	}
	if a.has(fReplyZone) {
		if a.zone != 0 || a.origZone != 0 {
			return 0, 0, false
		}
		zo, zr = 0, a.replyZone
	}
	return zo, zr, true
}

// entry is what the command line asks to be made.
func (c *Command) entry(m Machine, now int64) (*conntrack.Entry, error) {
	e := &conntrack.Entry{Tuple: c.tuples(), Timeout: int64(c.ct.timeout) * second, Status: c.ct.status, Mark: c.mark, Tag: c.ct.vtag}
	zo, zr, ok := c.zones()
	if !ok || c.foreign() {
		return nil, conntrack.ErrInvalid
	}
	e.Tuple[conntrack.Original].Zone, e.Tuple[conntrack.Reply].Zone = zo, zr
	if c.ct.has(fState) && (c.number == packet.TCP || c.number == packet.SCTP) {
		e.State, e.HasState = c.ct.state, true
	}
	if c.change != nil {
		e.Labels = *c.change
	}
	if c.helper != "" {
		if m.Helper != nil {
			e.Helper, ok = m.Helper(c.helper, &e.Tuple[conntrack.Original])
		}
		if m.Helper == nil || !ok {
			return nil, conntrack.ErrUnsupported
		}
	}
	e.Bind = c.bind(m, now)
	return e, nil
}

// bind settles NAT of a new connection: with -n or -g both sides, one of them
// perhaps to stay as it is; without, none. Linux: ctnetlink_setup_nat.
func (c *Command) bind(m Machine, now int64) func(*conntrack.Conn) bool {
	src, dst := c.ct.has(fSNATAddr), c.ct.has(fDNATAddr)
	if !src && !dst {
		return nil
	}
	return func(k *conntrack.Conn) bool {
		t := &hook.Traversal{Env: &hook.Env{CT: m.Table, Rand: m.Rand}, Now: now}
		side := func(given bool, side nat.Manip, a packet.Addr, hasPort bool, port uint16) bool {
			if !given {
				return nat.NullBinding(t, k, side)
			}
			r := nat.Range{Flags: nat.MapIPs, MinAddr: a, MaxAddr: a}
			// The tool tells ports of no others; a saved state does.
			if hasPort && (c.restore || c.number == packet.TCP || c.number == packet.UDP) {
				r.Flags |= nat.ProtoSpecified
				r.MinPort, r.MaxPort = port, port
			}
			return nat.Setup(t, k, &r, side)
		}
		return side(dst, nat.Destination, c.ct.dnat, c.ct.has(fDNATPort), c.ct.dnatPort) &&
			side(src, nat.Source, c.ct.snat, c.ct.has(fSNATPort), c.ct.snatPort)
	}
}

// create is -I and -A.
func (r *run) create() *Failure {
	e, err := r.entry(r.m, r.now)
	if err == nil {
		_, err = r.m.Table.Insert(e, r.now)
	}
	if err != nil {
		if r.Verb == Add && errors.Is(err, conntrack.ErrExists) {
			return nil // it is there, which is what -A wants
		}
		return failed(r.why(err))
	}
	r.res.Changed = true
	r.shown++
	return nil
}

// why is an error in conntrack's words.
func (c *Command) why(err error) string {
	var e conntrack.EntryError
	if !errors.As(err, &e) {
		return err.Error()
	}
	made := c.Verb == Create || c.Verb == Add
	switch {
	case e == conntrack.ErrInvalid && c.Verb != Add:
		return "invalid parameters"
	case e == conntrack.ErrExists && c.Verb == Create:
		return "Such conntrack exists, try -U to update"
	case e == conntrack.ErrNotFound && made && c.Table == Expectations:
		return "master conntrack not found"
	case e == conntrack.ErrNotFound && made:
		return "such conntrack doesn't exist"
	case e == conntrack.ErrNoRoom && made:
		return "not enough memory"
	case e == conntrack.ErrPermission:
		return "sorry, you must be root or get CAP_NET_ADMIN capability to do this"
	}
	return e.Error()
}

// update is -U: each connection that fits is changed by its original tuple,
// without its zone, as in the original.
func (r *run) update() *Failure {
	tb := r.m.Table
	var list []conntrack.ID
	tb.Each(r.now, func(c *conntrack.Conn) bool {
		if r.inFamily(c) {
			list = append(list, c.ID())
		}
		return true
	})
	for _, id := range list {
		c := tb.ByID(id)
		if c == nil || !r.updates(tb, c) {
			continue
		}
		x, changes := r.changeOf(tb, c)
		if !changes {
			continue
		}
		if r.family == 0 {
			r.res.Stderr = append(r.res.Stderr, "Operation failed: Operation not supported\n"...)
			return failed("Operation not supported")
		}
		o := c.Tuple[conntrack.Original]
		o.Zone = 0
		at, _ := tb.Lookup(&o, r.now)
		if at == nil {
			r.res.Stderr = append(r.res.Stderr, "Operation failed: No such file or directory\n"...)
			continue
		}
		if err := tb.Change(at, x, r.now); err != nil {
			r.res.Stderr = append(append(append(r.res.Stderr, "Operation failed: "...), r.why(err)...), '\n')
		}
		r.res.Changed = true
		r.res.Stdout = append(r.print.Got(r.res.Stdout, tb, at, r.now), '\n')
		r.shown++
	}
	return nil
}

// updates reports whether -U means a connection: it compares less than the
// other verbs do.
func (r *run) updates(tb *conntrack.Table, c *conntrack.Conn) bool {
	x := listed(tb, c, r.now)
	if !r.inNAT(c) || !r.inLabels(&x) || !r.inNetwork(c) || r.ct.has(fID) && c.Seq != uint64(r.ct.id) {
		return false
	}
	if !r.opts.any(optSrc, optDst, optReplySrc, optReplyDst, optProto) {
		return true
	}
	only := *r.Command
	only.ct.set &= 1<<fOrigSrc | 1<<fOrigDst | 1<<fReplySrc | 1<<fReplyDst | 1<<fOrigL3 | 1<<fReplyL3 | 1<<fL4 |
		1<<fOrigSport | 1<<fOrigDport | 1<<fReplySport | 1<<fReplyDport | 1<<fICMPType | 1<<fICMPCode | 1<<fICMPID
	return only.equal(&x)
}

// changeOf is what -U changes of a connection; false when that is nothing.
func (r *run) changeOf(tb *conntrack.Table, c *conntrack.Conn) (*conntrack.Change, bool) {
	a, x := &r.ct, &conntrack.Change{}
	changes := false
	if a.has(fTimeout) {
		x.Timeout, x.SetTimeout = int64(a.timeout)*second, true
		changes = c.Expires(r.now)/second != int64(a.timeout)
	}
	if r.opts.has(optStatus) {
		x.Status, x.SetStatus = c.Status|a.status, true
		changes = changes || a.status&^c.Status != 0
	}
	if r.opts.has(optMark) {
		x.Mark, x.MarkMask = c.Mark&^r.markMask^r.mark, 1<<32-1
		changes = changes || x.Mark != c.Mark
	}
	if a.has(fState) && (c.TCP() != nil || c.SCTP() != nil) {
		x.State, x.HasState = a.state, true
		changes = changes || !stateIs(c, a.state)
	}
	have := tb.Labels(c)
	switch {
	case r.opts.has(optLabelAdd):
		x.Labels, x.LabelMask = *r.change, *r.change
		changes = changes || have != *r.change
	case r.opts.has(optLabelDel) && r.change == nil:
		x.LabelMask = have
		changes = changes || have != [2]uint64{}
	case r.opts.has(optLabelDel):
		x.LabelMask = *r.change
		changes = changes || have[0]&r.change[0] != 0 || have[1]&r.change[1] != 0
	}
	return x, changes
}

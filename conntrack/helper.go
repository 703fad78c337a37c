package conntrack

import "weir/packet"

// Helper describes a helper to the table: what its expectations are called and
// how long they live. What it does with packets is no matter of this package.
type Helper struct {
	Name   string
	Family packet.Family
	Proto  uint8
	// Classes are the policies of its classes of expectations, at least one.
	Classes []ExpectPolicy
	// Destroy, if set, is called when a confirmed connection that has the
	// helper ends (Linux: nf_conntrack_helper.destroy).
	Destroy func(tb *Table, c *Conn, now int64)
}

// ExpectPolicy is the limit and the lifetime of one class of expectations of
// one connection (Linux: struct nf_conntrack_expect_policy).
type ExpectPolicy struct {
	Name    string // as /proc/net/nf_conntrack_expect shows it
	Max     int    // 0 is no limit
	Timeout int64  // ns
}

// maxClasses is how many classes of expectations a helper may have
// (NF_CT_MAX_EXPECT_CLASSES).
const maxClasses = 4

// HelperID names a helper of the table, 0 is none.
type HelperID uint8

// helpWords is how much a helper may remember of a connection, in words.
const helpWords = 8

// help is the part of an extension that a helper has (Linux: struct
// nf_conn_help).
type help struct {
	attached bool // a helper was attached, perhaps none of the name since
	id       HelperID
	expMask  ExpectEventMask
	// first is the newest of the connection's expectations, count how many
	// there are of each class.
	first uint32
	count [maxClasses]uint8
	data  [helpWords]uint32
	// children is how many connections exist that this one expected; as long
	// as there are some its slot is not reused.
	children uint32
	// kept: the connection ended while it had children, and counts as long as
	// it has some. waits: nothing but them keeps its slot.
	kept, waits bool
}

// SetHelpers makes helpers known, numbered from 1. It is called once, before
// the first packet.
func (tb *Table) SetHelpers(list []Helper) { tb.helpers = list }

// Helper is the helper of a connection, 0 if it has none.
func (tb *Table) Helper(c *Conn) HelperID {
	if e := tb.extOf(c); e != nil {
		return e.id
	}
	return 0
}

// HelperName is the name of a helper, empty for none.
func (tb *Table) HelperName(id HelperID) string {
	if id == 0 || int(id) > len(tb.helpers) {
		return ""
	}
	return tb.helpers[id-1].Name
}

// Children is how many connections live that c expected.
func (tb *Table) Children(c *Conn) int {
	if e := tb.extOf(c); e != nil {
		return int(e.children)
	}
	return 0
}

// ClassName is the name of an expectation's class, empty if it has none.
func (tb *Table) ClassName(e *Expect) string {
	if e.Helper == 0 || int(e.Helper) > len(tb.helpers) {
		return ""
	}
	if l := tb.helpers[e.Helper-1].Classes; int(e.Class) < len(l) {
		return l[e.Class].Name
	}
	return ""
}

// HelpData is what the helper of a connection remembers of it, in words of the
// helper's own. The connection must have a helper.
func (tb *Table) HelpData(c *Conn) *[helpWords]uint32 { return &tb.extend(c).data }

// attach gives a new connection a helper.
func (tb *Table) attach(c *Conn, id HelperID) {
	e := tb.extend(c)
	e.attached, e.id = true, id
}

// destroyHelp tells the helper of a connection that it ends.
func (tb *Table) destroyHelp(c *Conn, now int64) {
	if id := tb.Helper(c); id != 0 {
		if f := tb.helpers[id-1].Destroy; f != nil {
			f(tb, c, now)
		}
	}
}

// adopt makes c the child of an expectation's master.
func (tb *Table) adopt(c, master *Conn) {
	c.Status |= Expected
	tb.setMaster(c, master.ID())
	c.Mark = master.Mark
	tb.extend(master).children++
}

// orphan lets go of a child's master, and frees it if it waited for that.
func (tb *Table) orphan(c *Conn) {
	for id := tb.Master(c); id != 0; {
		m := tb.ByID(id)
		if m == nil {
			return
		}
		h := tb.extOf(m)
		h.children--
		if h.children != 0 || !h.waits {
			return
		}
		id = tb.Master(m)
		tb.count--
		tb.unlinkSource(m)
		tb.release(m)
	}
}

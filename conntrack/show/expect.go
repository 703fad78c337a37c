package show

import (
	"strconv"

	"weir/conntrack"
)

// AppendExpect adds an expectation as conntrack -L expect lists it at time now,
// ns since the Unix epoch.
func AppendExpect(b []byte, tb *conntrack.Table, e *conntrack.Expect, now int64) []byte {
	return (&Printer{}).Expect(b, tb, e, now)
}

// AppendExpectEvent adds an event of an expectation as conntrack -E expect
// prints it.
func AppendExpectEvent(b []byte, e *conntrack.ExpectEvent, o Options) []byte {
	return (&Printer{Options: o}).ExpectEvent(b, e)
}

// ahead is an expectation as a line shows it.
type ahead struct {
	*conntrack.Expect
	master *conntrack.Tuple // nil: it is gone
	left   int64            // ns
	now    int64
	helper string
	kind   conntrack.EventKind // 0: no event
}

// mask is the mask as a tuple. The destination counts whole.
func (x *ahead) mask() conntrack.Tuple {
	t := &x.Tuple
	m := conntrack.Tuple{Src: x.SrcMask, SrcL4: x.SrcL4Mask, DstL4: 0xffff, Proto: t.Proto, L3: t.L3}
	for i := range t.L3.Len() {
		m.Dst[i] = 0xff
	}
	return m
}

func (x *ahead) append(b []byte) []byte {
	t := &x.Tuple
	b = appendNum(b, "", uint64(x.left/second))
	b = appendNum(b, "proto=", uint64(t.Proto))
	b = appendTuple(b, t)
	mask := x.mask()
	b = appendNamed(b, "mask-", &mask)
	if x.master != nil {
		b = appendNamed(b, "master-", x.master)
	}
	if flags := appendFlags(nil, x.Flags); len(flags) > 0 {
		b = append(append(b, flags...), ' ')
	}
	b = appendNum(b, "class=", uint64(x.Class))
	return append(append(b, "helper="...), x.helper...)
}

// appendNamed is appendTuple with a word before the names of the addresses.
func appendNamed(b []byte, word string, t *conntrack.Tuple) []byte {
	b = append(append(b, word...), "src="...)
	b = append(appendAddr(b, t.Src, t.L3), ' ')
	b = append(append(b, word...), "dst="...)
	b = append(appendAddr(b, t.Dst, t.L3), ' ')
	return appendL4Tuple(b, t)
}

func appendFlags(b []byte, f conntrack.ExpectFlags) []byte {
	n := len(b)
	for i, name := range [...]string{"PERMANENT", "INACTIVE", "USERSPACE"} {
		if f&(1<<i) == 0 {
			continue
		}
		if len(b) > n {
			b = append(b, ',')
		}
		b = append(b, name...)
	}
	return b
}

// AppendProcExpect adds an expectation as /proc/net/nf_conntrack_expect shows
// it.
func AppendProcExpect(b []byte, tb *conntrack.Table, e *conntrack.Expect, now int64) []byte {
	t := &e.Tuple
	b = strconv.AppendInt(b, e.Left(now)/second, 10)
	b = append(b, " l3proto = "...)
	b = strconv.AppendUint(b, uint64(t.L3), 10)
	b = appendNum(append(b, ' '), "proto=", uint64(t.Proto))
	b = appendProcTuple(b, t)
	if e.Flags != 0 {
		b = append(appendFlags(b, e.Flags), ' ')
	}
	b = append(b, tb.HelperName(e.Helper)...)
	if class := tb.ClassName(e); class != "" {
		b = append(append(b, '/'), class...)
	}
	return b
}

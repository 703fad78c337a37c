package show

import (
	"strconv"

	"weir/conntrack"
)

// AppendExpect adds an expectation as conntrack -L expect lists it at time now,
// ns since the Unix epoch.
func AppendExpect(b []byte, tb *conntrack.Table, e *conntrack.Expect, now int64) []byte {
	master := tb.ByID(e.Master)
	return appendExpect(b, e, &master.Tuple[conntrack.Original], tb.HelperName(e.Helper), e.Left(now))
}

// AppendExpectEvent adds an event of an expectation as conntrack -E expect
// prints it.
func AppendExpectEvent(b []byte, e *conntrack.ExpectEvent, o Options) []byte {
	b = appendEventHead(b, e.Time, e.Kind, o)
	return appendExpect(b, &e.Expect, &e.Master, e.Helper, e.Left)
}

// appendExpect writes what all of them share.
func appendExpect(b []byte, e *conntrack.Expect, master *conntrack.Tuple, helper string, left int64) []byte {
	t := &e.Tuple
	b = appendNum(b, "", uint64(left/second))
	b = appendNum(b, "proto=", uint64(t.Proto))
	b = appendTuple(b, t)
	mask := conntrack.Tuple{Src: e.SrcMask, SrcL4: e.SrcL4Mask, DstL4: 0xffff, Proto: t.Proto, L3: t.L3}
	for i := range t.L3.Len() {
		mask.Dst[i] = 0xff
	}
	b = appendNamed(b, "mask-", &mask)
	b = appendNamed(b, "master-", master)
	if flags := appendFlags(nil, e.Flags); len(flags) > 0 {
		b = append(append(b, flags...), ' ')
	}
	b = appendNum(b, "class=", uint64(e.Class))
	return append(append(b, "helper="...), helper...)
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

package xtables

import (
	"encoding/binary"

	"weir/packet"
)

// Field is a property of which a packet has one value while a rule is asked.
type Field uint8

// The fields. Where a packet may have nothing there, one value above the real
// ones stands for that; see FieldNone.
const (
	FieldSrc      Field = iota // address; IPv4 in the lowest 32 bits
	FieldDst                   // likewise
	FieldIn                    // name of the interface, its bytes from the highest on; 0 is none
	FieldOut                   // likewise
	FieldProto                 // protocol as -p sees it; none: a later IPv6 fragment
	FieldSrcPort               // none: no ports, or a later fragment
	FieldDstPort               // likewise
	FieldTCPFlags              // the lower six bits of the flags; none: not TCP
	FieldICMP                  // type<<8 | code; none: not ICMP
	FieldFragment              // 1 for a later IPv4 fragment
	FieldState                 // conntrack.State
	FieldNAT                   // 1: the source is translated, 2: the destination is
	FieldMark                  // of the packet
	FieldTTL                   // time to live or hop limit
	FieldTOS                   // TOS byte or traffic class
	FieldLength                // bytes from the IP header on
	FieldLink                  // packet.LinkType
	NumFields
)

// Value is the value of a field.
type Value struct{ Hi, Lo uint64 }

// Cmp is -1, 0 or 1 as v is less than, equal to or greater than w.
func (v Value) Cmp(w Value) int {
	switch {
	case v == w:
		return 0
	case v.Hi < w.Hi || v.Hi == w.Hi && v.Lo < w.Lo:
		return -1
	}
	return 1
}

// Span is the values from Lo to Hi.
type Span struct{ Lo, Hi Value }

// Num is a span of small numbers.
func Num(lo, hi uint64) Span { return Span{Value{Lo: lo}, Value{Lo: hi}} }

// FieldNone is the value of a field that a packet does not have; ok is false
// for a field that every packet has.
func FieldNone(f Field) (v Value, ok bool) {
	switch f {
	case FieldProto:
		return Value{Lo: 256}, true
	case FieldSrcPort, FieldDstPort, FieldICMP:
		return Value{Lo: 1 << 16}, true
	case FieldTCPFlags:
		return Value{Lo: 64}, true
	}
	return v, false
}

// Domain is every value that a field may have, none included.
func Domain(f Field, fam packet.Family) Span {
	if v, ok := FieldNone(f); ok {
		return Span{Hi: v}
	}
	switch f {
	case FieldSrc, FieldDst:
		if fam == packet.IPv4 {
			return Num(0, 1<<32-1)
		}
	case FieldFragment:
		return Num(0, 1)
	case FieldState:
		return Num(0, 4)
	case FieldNAT:
		return Num(0, 3)
	case FieldMark:
		return Num(0, 1<<32-1)
	case FieldTTL, FieldTOS:
		return Num(0, 255)
	case FieldLength:
		return Num(0, 1<<17-1)
	case FieldLink:
		return Num(0, 4)
	}
	return Span{Hi: Value{^uint64(0), ^uint64(0)}}
}

// AddrValue is an address as a value of FieldSrc and FieldDst.
func AddrValue(f packet.Family, a packet.Addr) Value {
	if f == packet.IPv4 {
		return Value{Lo: uint64(binary.BigEndian.Uint32(a[:4]))}
	}
	return Value{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])}
}

// ValueAddr is the address of a value.
func ValueAddr(f packet.Family, v Value) (a packet.Addr) {
	if f == packet.IPv4 {
		binary.BigEndian.PutUint32(a[:4], uint32(v.Lo))
		return a
	}
	binary.BigEndian.PutUint64(a[:8], v.Hi)
	binary.BigEndian.PutUint64(a[8:], v.Lo)
	return a
}

// NameSpan is the interfaces that -i or -o NAME means; a "+" at the end is any
// continuation.
func NameSpan(name string) Span {
	var lo, hi [16]byte
	n := copy(lo[:], name)
	if n > 0 && lo[n-1] == '+' {
		n--
		lo[n] = 0
		for i := n; i < len(hi); i++ {
			hi[i] = 0xff
		}
	}
	copy(hi[:n], lo[:n])
	value := func(b [16]byte) Value {
		return Value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	}
	return Span{value(lo), value(hi)}
}

// ValueName is the name of a value of FieldIn or FieldOut.
func ValueName(v Value) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.Hi)
	binary.BigEndian.PutUint64(b[8:], v.Lo)
	n := 0
	for n < len(b) && b[n] != 0 {
		n++
	}
	return string(b[:n])
}

// FieldSet asks that a field has one of the values; no span is never. The
// spans run upwards and do not touch.
type FieldSet struct {
	Field Field
	Spans []Span
}

// Term is a question to a packet that is no matter of one field. Equal texts
// have equal answers for the same packet at the same place.
type Term struct {
	Text string
	Not  bool
}

// Box is the packets that meet all of its conditions.
type Box struct {
	Fields []FieldSet
	Terms  []Term
}

// Describer is a Match that can say which packets it is true for, for those
// who reason about rules instead of running them. A Match without it may
// answer differently when it is asked twice.
type Describer interface {
	// Describe gives boxes, of which a packet that matches is in one. With
	// Whole, every packet in one of them matches, unless it is too broken to
	// be judged and is dropped. With Part the answer is a function of the
	// packet, its connection, the machine and the time, and nobody notices
	// that the Match is asked. Open: neither.
	Describe() ([]Box, Extent)
}

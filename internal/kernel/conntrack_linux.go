//go:build linux

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Attributes of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctaOrig, ctaReply, ctaStatus, ctaProtoinfo, ctaHelp = 1, 2, 3, 4, 5
	ctaTimeout, ctaMark, ctaCountOrig, ctaCountReply    = 7, 8, 9, 10
	ctaMaster, ctaZone                                  = 14, 18

	tupIP, tupProto, tupZone = 1, 2, 3

	protoNum, protoSrc, protoDst             = 1, 2, 3
	protoID, protoType, protoCode            = 4, 5, 6
	protoID6, protoType6, protoCode6         = 7, 8, 9
	infoTCP, infoSCTP                        = 1, 3
	expMaster, expTuple, expMask, expTimeout = 1, 2, 3, 4
	expHelp, expZone, expFlags, expClass     = 6, 7, 8, 9
	expNAT, expFn                            = 10, 11
)

// event decodes one message into the result.
func (r *Result) event(m message) {
	e := Event{}
	switch {
	case m.sub == subCT && m.typ == msgNew && m.flags&(unix.NLM_F_CREATE|unix.NLM_F_EXCL) != 0:
		e.Type = EventNew
	case m.sub == subCT && m.typ == msgNew:
		e.Type = EventUpdate
	case m.sub == subCT && m.typ == msgDelete:
		e.Type = EventDestroy
	case m.sub == subExp && m.typ == msgNew:
		e.Type = ExpectNew
	case m.sub == subExp && m.typ == msgDelete:
		e.Type = ExpectDestroy
	default:
		return
	}
	if m.sub == subCT {
		e.Entry = decodeEntry(m.attrs)
	} else {
		e.Expect = decodeExpect(m.attrs)
	}
	r.Events = append(r.Events, e)
}

func decodeEntry(b []byte) (e Entry) {
	attrs(b, func(typ uint16, v []byte) {
		switch typ {
		case ctaOrig:
			e.Orig = decodeTuple(v)
		case ctaReply:
			e.Reply = decodeTuple(v)
		case ctaMaster:
			e.Master, e.Has = decodeTuple(v), e.Has|HasMaster
		case ctaStatus:
			e.Status, e.Has = uint32(number(v)), e.Has|HasStatus
		case ctaTimeout:
			e.Timeout, e.Has = uint32(number(v)), e.Has|HasTimeout
		case ctaMark:
			e.Mark, e.Has = uint32(number(v)), e.Has|HasMark
		case ctaZone:
			e.Zone, e.Has = uint16(number(v)), e.Has|HasZone
		case ctaCountOrig:
			e.Counters[0], e.Has = decodeCounter(v), e.Has|HasCounters
		case ctaCountReply:
			e.Counters[1], e.Has = decodeCounter(v), e.Has|HasCounters
		case ctaHelp:
			attrs(v, func(typ uint16, v []byte) {
				if typ == 1 && len(v) > 0 {
					e.Helper, e.Has = string(v[:len(v)-1]), e.Has|HasHelper
				}
			})
		case ctaProtoinfo:
			e.decodeState(v)
		}
	})
	return e
}

func (e *Entry) decodeState(b []byte) {
	attrs(b, func(proto uint16, v []byte) {
		attrs(v, func(typ uint16, v []byte) {
			switch {
			case typ == 1:
				e.State, e.Has = uint8(number(v)), e.Has|HasState
			case proto == infoTCP && (typ == 2 || typ == 3):
				e.WScale[typ-2] = uint8(number(v))
			case proto == infoTCP && (typ == 4 || typ == 5) && len(v) > 0:
				e.Flags[typ-4] = v[0]
			}
		})
	})
}

func decodeExpect(b []byte) (e Expect) {
	attrs(b, func(typ uint16, v []byte) {
		switch typ {
		case expMaster:
			e.Master = decodeTuple(v)
		case expTuple:
			e.Tuple = decodeTuple(v)
		case expMask:
			e.Mask = decodeTuple(v)
		case expTimeout:
			e.Timeout = uint32(number(v))
		case expHelp:
			e.Helper = text(v)
		case expZone:
			e.Zone = uint16(number(v))
		case expFlags:
			e.Flags = uint32(number(v))
		case expClass:
			e.Class = uint32(number(v))
		case expNAT:
			attrs(v, func(typ uint16, v []byte) {
				if typ == 1 {
					e.NATDir = uint32(number(v))
				} else {
					e.NAT = decodeTuple(v)
				}
			})
		case expFn:
			e.Fn = text(v)
		}
	})
	return e
}

// text is a string that ends with a zero.
func text(v []byte) string { return strings.TrimRight(string(v), "\x00") }

func decodeCounter(b []byte) (c Counter) {
	attrs(b, func(typ uint16, v []byte) {
		switch typ {
		case 1:
			c.Packets = number(v)
		case 2:
			c.Bytes = number(v)
		}
	})
	return c
}

func decodeTuple(b []byte) (t Tuple) {
	attrs(b, func(typ uint16, v []byte) {
		switch typ {
		case tupIP:
			attrs(v, func(typ uint16, v []byte) {
				a, _ := netip.AddrFromSlice(v)
				if typ&1 == 1 { // V4_SRC 1, V4_DST 2, V6_SRC 3, V6_DST 4
					t.Src = a
				} else {
					t.Dst = a
				}
			})
		case tupProto:
			attrs(v, func(typ uint16, v []byte) {
				n := uint16(number(v))
				switch typ {
				case protoNum:
					t.Proto = uint8(n)
				case protoSrc, protoID, protoID6:
					t.SrcPort = n
				case protoDst:
					t.DstPort = n
				case protoType, protoType6:
					t.DstPort |= n << 8
				case protoCode, protoCode6:
					t.DstPort |= n
				}
			})
		case tupZone:
			t.Zone = uint16(number(v))
		}
	})
	return t
}

// encode is the attribute list of a tuple.
func (t Tuple) encode() []byte {
	src, dst := t.Src.AsSlice(), t.Dst.AsSlice()
	ip := uint16(1)
	if t.Src.Is6() {
		ip = 3
	}
	b := nested(nil, tupIP, attr(attr(nil, ip, src), ip+1, dst))
	p := attr(nil, protoNum, []byte{t.Proto})
	switch t.Proto {
	case unix.IPPROTO_ICMP:
		p = attr(p, protoID, be16(t.SrcPort))
		p = attr(attr(p, protoType, []byte{byte(t.DstPort >> 8)}), protoCode, []byte{byte(t.DstPort)})
	case unix.IPPROTO_ICMPV6:
		p = attr(p, protoID6, be16(t.SrcPort))
		p = attr(attr(p, protoType6, []byte{byte(t.DstPort >> 8)}), protoCode6, []byte{byte(t.DstPort)})
	default:
		p = attr(attr(p, protoSrc, be16(t.SrcPort)), protoDst, be16(t.DstPort))
	}
	b = nested(b, tupProto, p)
	if t.Zone != 0 {
		b = attr(b, tupZone, be16(t.Zone))
	}
	return b
}

// Dump is the connection table, in no order.
func (k *Kernel) Dump() (entries []Entry, err error) {
	err = k.ctl.request(subCT, msgGet, unix.AF_UNSPEC, unix.NLM_F_DUMP, 0, nil, func(m message) {
		entries = append(entries, decodeEntry(m.attrs))
	})
	if err != nil {
		return nil, fmt.Errorf("kernel: dump of the connection table: %w", err)
	}
	return entries, nil
}

// Expects is the expectations, in no order.
func (k *Kernel) Expects() (list []Expect, err error) {
	err = k.ctl.request(subExp, msgGet, unix.AF_UNSPEC, unix.NLM_F_DUMP, 0, nil, func(m message) {
		list = append(list, decodeExpect(m.attrs))
	})
	if err != nil {
		return nil, fmt.Errorf("kernel: dump of the expectations: %w", err)
	}
	return list, nil
}

// Flush empties the connection table and forgets what the machine learnt
// about paths, and throws the events of it away.
func (k *Kernel) Flush() error {
	if err := k.ctl.request(subCT, msgDelete, unix.AF_UNSPEC, unix.NLM_F_ACK, 0, nil, nil); err != nil {
		return fmt.Errorf("kernel: flush: %w", err)
	}
	err := k.ns.do(func() error {
		return errors.Join(sysctl("net.ipv4.route.flush", "1"), sysctl("net.ipv6.route.flush", "1"))
	})
	if err != nil {
		return err
	}
	return k.drain()
}

// key is what names an entry to the kernel.
func (e *Entry) key() []byte {
	b := nested(nil, ctaOrig, e.Orig.encode())
	if e.Zone != 0 {
		b = attr(b, ctaZone, be16(e.Zone))
	}
	return b
}

// Advance moves the timeouts of all connections as if d had passed, and
// removes those that are over, and those that over picks (nil: none). Its
// events are thrown away.
func (k *Kernel) Advance(d time.Duration, over func(*Entry) bool) error {
	entries, err := k.Dump()
	if err != nil {
		return err
	}
	secs := int64(d / second)
	for i := range entries {
		e := &entries[i]
		family := uint8(unix.AF_INET)
		if e.Orig.Src.Is6() {
			family = unix.AF_INET6
		}
		if left := int64(e.Timeout) - secs; left > 0 && (over == nil || !over(e)) {
			err = k.ctl.request(subCT, msgNew, family, unix.NLM_F_ACK, 0, attr(e.key(), ctaTimeout, be32(uint32(left))), nil)
		} else {
			err = k.ctl.request(subCT, msgDelete, family, unix.NLM_F_ACK, 0, e.key(), nil)
		}
		// An entry may end while we walk: its time was over anyway.
		if err != nil && err != unix.ENOENT && err != unix.ETIME {
			return fmt.Errorf("kernel: advance: %w", err)
		}
	}
	return k.drain()
}

// Stats is conntrack -S, summed over all CPUs.
func (k *Kernel) Stats() (st Stats, err error) {
	fields := map[uint16]*uint64{
		2: &st.Found, 4: &st.Invalid, 8: &st.Insert, 9: &st.InsertFailed, 10: &st.Drop, 11: &st.EarlyDrop,
		12: &st.Error, 13: &st.SearchRestart, 14: &st.ClashResolve, 15: &st.ChainTooLong,
	}
	err = k.ctl.request(subCT, msgStats, unix.AF_UNSPEC, unix.NLM_F_DUMP, 0, nil, func(m message) {
		attrs(m.attrs, func(typ uint16, v []byte) {
			if p := fields[typ]; p != nil {
				*p += number(v)
			}
		})
	})
	if err != nil {
		return st, fmt.Errorf("kernel: statistics: %w", err)
	}
	return st, nil
}

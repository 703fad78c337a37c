package helper

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// snmp expects the answers to this machine's own broadcasts, and rewrites the
// addresses in the messages of a translated connection (RFC 1157, RFC 3416,
// RFC 2962). Linux: nf_conntrack_snmp.c, nf_nat_snmp_basic_main.c.
func snmp() helper {
	return helper{name: "snmp", families: four(), proto: packet.UDP, classes: one(1, 30*second), help: func(k *call) hook.Verdict {
		k.broadcast(30 * second)
		return k.snmpAddresses()
	}}
}

// snmpTrap only rewrites.
func snmpTrap() helper {
	return helper{name: "snmp_trap", families: four(), proto: packet.UDP, classes: one(0, 180*second), help: (*call).snmpAddresses}
}

// snmpAddresses replaces the inside address by the outside one, or back.
func (k *call) snmpAddresses() hook.Verdict {
	const port, trap = 161, 162
	b := k.t.Pkt.Payload()
	if !k.translated() || len(b) < 8 {
		return hook.Accept
	}
	be := binary.BigEndian
	if be.Uint16(b) == port && k.dir != conntrack.Reply || be.Uint16(b[2:]) == trap && k.dir != conntrack.Original {
		return hook.Accept
	}
	if int(be.Uint16(b[4:])) != len(b) {
		return k.drop("dropping malformed packet")
	}
	k.linear()
	w := snmpWalk{b: b[8:], check: b[6:8]}
	own, other := k.own(), k.other()
	if k.dir == conntrack.Original {
		copy(w.from[:], own.Src[:4])
		copy(w.to[:], other.Dst[:4])
	} else {
		copy(w.from[:], other.Src[:4])
		copy(w.to[:], own.Dst[:4])
	}
	if w.from == w.to {
		return hook.Accept
	}
	if !w.run() {
		return k.drop("parser failed")
	}
	if w.changed {
		k.tell("addresses in the message are rewritten")
	}
	return hook.Accept
}

// snmpWalk walks a message in the basic encoding rules (X.690) by a list of
// steps, as Linux's asn1_ber_decoder does: what is missing at the end of a group
// is skipped, not refused.
type snmpWalk struct {
	b        []byte
	check    []byte // the UDP checksum
	from, to [4]byte
	changed  bool
}

// berKind is what a step of a walk does.
type berKind uint8

const (
	berMatch  berKind = iota // an element with the tag must follow
	berMaybe                 // may follow
	berElse                  // may follow, if the step before found nothing
	berCall                  // may follow, and its content is walked from target on
	berFound                 // one of the steps before must have found something
	berEnd                   // a group ends
	berEndOf                 // a list ends, or goes on with the step at target
	berReturn                // back behind the call
	berDone
)

// berAct is what is done with an element's content.
type berAct uint8

const (
	berNothing berAct = iota
	berVersion        // 0 or 1
	berAddress        // replaced if it is the one
)

type berStep struct {
	kind   berKind
	tag    byte
	act    berAct
	target int
}

// Tags (X.680), and the bit of those that hold others.
const (
	berGroup    = 0x20
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagNull     = 0x05
	tagObject   = 0x06
	tagSequence = 0x30
	tagIP       = 0x40 // RFC 1155
)

// snmpSteps is the grammar of a message: RFC 1157 and RFC 3416 without the trap
// of SNMPv1, which Linux does not know.
func snmpSteps() []berStep {
	s := []berStep{
		{kind: berMatch, tag: tagSequence}, {kind: berMatch, tag: tagInteger, act: berVersion}, {kind: berMatch, tag: tagOctets},
	}
	kinds := []byte{0, 1, 5, 2, 3, 6, 7, 8}
	pdu := len(s) + len(kinds) + 3
	for _, n := range kinds {
		s = append(s, berStep{kind: berCall, tag: 0xa0 | n, target: pdu})
	}
	s = append(s, berStep{kind: berFound}, berStep{kind: berEnd}, berStep{kind: berDone})
	s = append(s,
		berStep{kind: berMatch, tag: tagInteger}, berStep{kind: berMatch, tag: tagInteger}, berStep{kind: berMatch, tag: tagInteger},
		berStep{kind: berMatch, tag: tagSequence})
	binding := len(s)
	s = append(s, berStep{kind: berMatch, tag: tagSequence}, berStep{kind: berMatch, tag: tagObject}, berStep{kind: berMaybe, tag: tagInteger})
	for _, tag := range []byte{tagOctets, tagObject, tagIP, 0x41, 0x43, 0x44, 0x46, 0x42, tagNull, 0x80, 0x81, 0x82} {
		st := berStep{kind: berElse, tag: tag}
		if tag&0xc0 == tagIP {
			st.kind = berMaybe // each for itself, as Linux's grammar has them
		}
		if tag == tagIP {
			st.act = berAddress
		}
		s = append(s, st)
	}
	return append(s, berStep{kind: berFound}, berStep{kind: berEnd}, berStep{kind: berEndOf, target: binding},
		berStep{kind: berEnd}, berStep{kind: berReturn})
}

// berOpen is a group that is open: where it begins and where the one around
// it ends; that is 0 if the group has no length of its own.
type berOpen struct{ begin, around int }

// run walks the message; false if it is none.
func (w *snmpWalk) run() bool {
	const deepest = 10
	steps := snmpSteps()
	var open []berOpen
	var calls []int
	at, end, pc := 0, len(w.b), 0
	matched := false
	for {
		s := &steps[pc]
		pc++
		switch s.kind {
		case berMatch, berMaybe, berElse, berCall:
			if s.kind == berElse && matched || at == end {
				continue
			}
			e, next, found, ok := w.element(s, at, end)
			matched = found
			if !ok {
				return false
			}
			if !found {
				if s.kind == berMatch {
					return false
				}
				continue
			}
			if at = next; s.tag&berGroup != 0 {
				if len(open) >= deepest {
					return false
				}
				o := berOpen{begin: at}
				if !e.endless {
					o.around, end = end, at+e.n
				}
				open = append(open, o)
			} else {
				if !w.act(s.act, at, e) {
					return false
				}
				if e.endless {
					if at, ok = w.skipEndless(at, end); !ok {
						return false
					}
				} else {
					at += e.n
				}
			}
			if s.kind == berCall {
				if len(calls) >= deepest {
					return false
				}
				calls = append(calls, pc)
				pc = s.target
			}
		case berFound:
			if !matched {
				return false
			}
		case berEnd, berEndOf:
			if len(open) == 0 {
				return false
			}
			o := open[len(open)-1]
			if o.around == 0 {
				if end-at < 2 {
					return false
				}
				if w.b[at] != 0 {
					if s.kind != berEndOf {
						return false
					}
					pc = s.target
					continue
				}
				if w.b[at+1] != 0 {
					return false
				}
				at += 2
				open = open[:len(open)-1]
				continue
			}
			if at < end && s.kind == berEndOf {
				pc = s.target
				continue
			}
			if at != end {
				return false
			}
			end = o.around
			open = open[:len(open)-1]
		case berReturn:
			if len(calls) == 0 {
				return false
			}
			pc = calls[len(calls)-1]
			calls = calls[:len(calls)-1]
		case berDone:
			return len(open) == 0 && len(calls) == 0
		}
	}
}

// berElement is the length of an element's content; endless ends with a mark.
type berElement struct {
	n       int
	endless bool
}

// element reads the header of an element at a position. found is false for
// another tag, ok for what cannot be read.
func (w *snmpWalk) element(s *berStep, at, end int) (e berElement, next int, found, ok bool) {
	const longTag = 0x1f
	if at >= end-1 {
		return e, at, false, false
	}
	tag := w.b[at]
	if tag&longTag == longTag {
		return e, at, false, false
	}
	if (tag^s.tag)&^(s.tag&berGroup) != 0 {
		return e, at, false, true
	}
	e.n = int(w.b[at+1])
	at += 2
	switch {
	case e.n == 0x80:
		if e.endless = true; tag&berGroup == 0 || end-at < 2 {
			return e, at, true, false
		}
	case e.n > 0x80:
		n := e.n - 0x80
		if n > 2 || n > end-at {
			return e, at, true, false
		}
		for e.n = 0; n > 0; n-- {
			e.n = e.n<<8 | int(w.b[at])
			at++
		}
	}
	return e, at, true, e.endless || e.n <= end-at
}

// skipEndless skips the content of an element without length.
func (w *snmpWalk) skipEndless(at, end int) (next int, ok bool) {
	for level := 1; ; {
		if end-at < 2 {
			return at, false
		}
		tag := w.b[at]
		at++
		if tag == 0 {
			if w.b[at] != 0 {
				return at, false
			}
			at++
			if level--; level == 0 {
				return at, true
			}
			continue
		}
		if tag&0x1f == 0x1f {
			for {
				if end-at < 2 {
					return at, false
				}
				at++
				if w.b[at-1]&0x80 == 0 {
					break
				}
			}
		}
		n := int(w.b[at])
		at++
		switch {
		case n < 0x80:
		case n == 0x80:
			if tag&berGroup == 0 {
				return at, false
			}
			level++
			continue
		default:
			bytes := n - 0x80
			if bytes > 7 || bytes > end-at {
				return at, false
			}
			for n = 0; bytes > 0; bytes-- {
				n = n<<8 | int(w.b[at])
				at++
			}
		}
		if n < 0 || n > end-at {
			return at, false
		}
		at += n
	}
}

// act does what a step wants with an element.
func (w *snmpWalk) act(a berAct, at int, e berElement) bool {
	switch a {
	case berVersion:
		return e.n == 1 && w.b[at] <= 1
	case berAddress:
		if e.n != 4 {
			return false
		}
		if b := w.b[at : at+4]; [4]byte(b) == w.from {
			w.sum(at)
			copy(b, w.to[:])
			w.changed = true
		}
	}
	return true
}

// sum follows the replacement at an offset in the checksum, if there is one.
func (w *snmpWalk) sum(at int) {
	be := binary.BigEndian
	old := be.Uint16(w.check)
	if old == 0 {
		return
	}
	from, to := be.Uint32(w.from[:]), be.Uint32(w.to[:])
	diff := packet.Sum([]byte{byte(^from >> 24), byte(^from >> 16), byte(^from >> 8), byte(^from)}, 0)
	diff = packet.Sum([]byte{byte(to >> 24), byte(to >> 16), byte(to >> 8), byte(to)}, diff)
	d := packet.Fold(diff)
	if at&1 != 0 {
		d = d<<8 | d>>8
	}
	be.PutUint16(w.check, packet.Replace32(old, 0, uint32(d)))
}

package nat

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/packet"
)

// Rewrite translates a forwarded packet of a known connection and lowers its
// TTL: what Packet at PREROUTING, the router and Packet at POSTROUTING do to
// the bytes, in one go. The TTL is above 0.
func Rewrite(q *conntrack.Probe, translate bool) {
	c, d := q.Conn, q.Data
	var src, dst bool
	if translate {
		src, dst = c.Status&Source.bit(q.Dir) != 0, c.Status&Destination.bit(q.Dir) != 0
	}
	to := &c.Tuple[1-q.Dir] // whose sides are swapped
	be := binary.BigEndian
	l4 := d[q.L4:]
	var diff uint64
	if q.Family == packet.IPv4 {
		d = d[:20]
		if dst {
			n := exchange32(d[16:], be.Uint32(to.Src[:]))
			settle(d[10:], n)
			diff = n + exchange16(l4[2:], to.SrcL4)
		}
		old := be.Uint16(d[8:])
		be.PutUint16(d[8:], old-1<<8)
		be.PutUint16(d[10:], packet.Replace16(be.Uint16(d[10:]), old, old-1<<8))
		if src {
			n := exchange32(d[12:], be.Uint32(to.Dst[:]))
			settle(d[10:], n)
			diff += n + exchange16(l4, to.DstL4)
		}
	} else {
		d[7]--
		if dst {
			diff = exchange128(d[24:40], &to.Src) + exchange16(l4[2:], to.SrcL4)
		}
		if src {
			diff += exchange128(d[8:24], &to.Dst) + exchange16(l4, to.DstL4)
		}
	}
	if !src && !dst {
		return
	}
	if q.Proto == packet.TCP {
		settle(l4[16:], diff)
	} else if l4[6]|l4[7] != 0 {
		settle(l4[6:], diff)
		if l4[6]|l4[7] == 0 {
			l4[6], l4[7] = 0xff, 0xff
		}
	}
}

// exchange16 writes a word and returns the difference to a checksum over it;
// so do the others. A few differences can be added.
func exchange16(b []byte, v uint16) uint64 {
	old := binary.BigEndian.Uint16(b)
	binary.BigEndian.PutUint16(b, v)
	return uint64(^old) + uint64(v)
}

func exchange32(b []byte, v uint32) uint64 {
	old := binary.BigEndian.Uint32(b)
	binary.BigEndian.PutUint32(b, v)
	return uint64(^old) + uint64(v)
}

func exchange128(b []byte, v *packet.Addr) (n uint64) {
	for i := 0; i < 16; i += 4 {
		n += exchange32(b[i:], binary.BigEndian.Uint32(v[i:]))
	}
	return n
}

// settle is adjust for a wider difference: the sum decides the result, not how
// it came about, as neither stores 0xffff.
func settle(b []byte, diff uint64) {
	s := uint64(^binary.BigEndian.Uint16(b)) + diff
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	acc := packet.Fold(uint32(s))
	if acc == 0 {
		acc = 0xffff
	}
	binary.BigEndian.PutUint16(b, ^acc)
}

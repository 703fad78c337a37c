package synproxy

import "encoding/binary"

// Option is a TCP option that the proxy understands, with Linux's bits
// (XT_SYNPROXY_OPT_*).
type Option uint8

// The options.
const (
	MSS Option = 1 << iota
	WScale
	SackPerm
	Timestamp
	ECN
)

// options are the TCP options of a segment.
type options struct {
	has         Option
	mss         uint16
	scale       uint8
	value, echo uint32 // of the time stamp
}

// Kinds of TCP options and their lengths (RFC 9293, 7323, 2018).
const (
	kindEnd, kindNop                                 = 0, 1
	kindMSS, kindScale, kindSackPerm, kindTime       = 2, 3, 4, 8
	lengthMSS, lengthScale, lengthSackPerm, lengthTS = 4, 3, 2, 10
	maxScale                                         = 14
)

// parse reads the options b of a header.
func parse(b []byte) (o options) {
	be := binary.BigEndian
	for len(b) > 0 {
		switch b[0] {
		case kindEnd:
			return o
		case kindNop:
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return o
		}
		n := int(b[1])
		switch {
		case b[0] == kindMSS && n == lengthMSS:
			o.mss, o.has = be.Uint16(b[2:]), o.has|MSS
		case b[0] == kindScale && n == lengthScale:
			o.scale, o.has = min(b[2], maxScale), o.has|WScale
		case b[0] == kindTime && n == lengthTS:
			o.value, o.echo, o.has = be.Uint32(b[2:]), be.Uint32(b[6:]), o.has|Timestamp
		case b[0] == kindSackPerm && n == lengthSackPerm:
			o.has |= SackPerm
		}
		b = b[n:]
	}
	return o
}

// append writes the options as words of four bytes, in Linux's order.
func (o *options) append(b []byte) []byte {
	be := binary.BigEndian
	if o.has&MSS != 0 {
		b = be.AppendUint16(append(b, kindMSS, lengthMSS), o.mss)
	}
	switch o.has & (Timestamp | SackPerm) {
	case Timestamp | SackPerm:
		b = append(b, kindSackPerm, lengthSackPerm, kindTime, lengthTS)
	case Timestamp:
		b = append(b, kindNop, kindNop, kindTime, lengthTS)
	case SackPerm:
		b = append(b, kindNop, kindNop, kindSackPerm, lengthSackPerm)
	}
	if o.has&Timestamp != 0 {
		b = be.AppendUint32(be.AppendUint32(b, o.value), o.echo)
	}
	if o.has&WScale != 0 {
		b = append(b, kindNop, kindScale, lengthScale, o.scale)
	}
	return b
}

// What the low bits of a time stamp that is given to a client say of it.
const (
	stampScale = 0xf // its window scale, 15 for none
	stampSack  = 1 << 4
	stampECN   = 1 << 5
	stampBits  = 0x3f
)

// hide puts what the client can do into the time stamp that it is given, whose
// clock reads now. scale is the server's.
func (o *options) hide(now uint32, scale uint8) {
	o.echo = o.value
	o.value = now &^ stampBits
	if o.has&WScale != 0 {
		o.value |= uint32(o.scale)
		o.scale = scale
	} else {
		o.value |= stampScale
	}
	if o.has&SackPerm != 0 {
		o.value |= stampSack
	}
	if o.has&ECN != 0 {
		o.value |= stampECN
	}
}

// reveal takes it out of the echo of that time stamp.
func (o *options) reveal() {
	if o.scale = uint8(o.echo & stampScale); o.scale != stampScale {
		o.has |= WScale
	}
	if o.echo&stampSack != 0 {
		o.has |= SackPerm
	}
	if o.echo&stampECN != 0 {
		o.has |= ECN
	}
}

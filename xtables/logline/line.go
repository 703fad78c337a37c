package logline

import (
	"encoding/binary"
	"strconv"

	"weir/hook"
	"weir/packet"
)

// Flags ask for parts of the line that are not always there, with the values
// of Linux (NF_LOG_*).
type Flags uint8

// The flags. Trace lines and log_invalid lines have All.
const (
	TCPSequence Flags = 1
	TCPOptions  Flags = 2
	IPOptions   Flags = 4
	UID         Flags = 8
	MACDecode   Flags = 32
	All               = TCPSequence | TCPOptions | IPOptions | UID
)

// Append writes prefix and the description of t's packet, without a time and
// with the space at the end that Linux leaves.
//
// Linux: net/netfilter/nf_log_syslog.c.
func Append(b []byte, prefix string, t *hook.Traversal, f Flags) []byte {
	b = append(b, prefix...)
	b = append(b, "IN="...)
	if t.In != nil {
		b = append(b, t.In.Name...)
	}
	b = append(b, " OUT="...)
	if t.Out != nil {
		b = append(b, t.Out.Name...)
	}
	b = append(b, ' ')
	if t.In != nil {
		b = appendMAC(b, &t.Pkt.Link, f)
	}
	l := line{b: b, flags: f, t: t}
	if t.Pkt.Family == packet.IPv4 {
		l.ip4(t.Pkt.Data, false)
	} else {
		l.ip6(t.Pkt.Data, false)
	}
	return l.b
}

// line is a line that is being written.
type line struct {
	b     []byte
	flags Flags
	t     *hook.Traversal
}

func (l *line) str(s string) { l.b = append(l.b, s...) }

// num writes name, v in decimal and a space.
func (l *line) num(name string, v uint32) {
	l.str(name)
	l.b = append(strconv.AppendUint(l.b, uint64(v), 10), ' ')
}

// hex writes name, v in hexadecimal of at least width digits and a space.
func (l *line) hex(name string, v uint32, width int) {
	l.str(name)
	for n := 1; n < width; n++ {
		if v>>(4*n) == 0 {
			l.b = append(l.b, '0')
		}
	}
	l.b = append(strconv.AppendUint(l.b, uint64(v), 16), ' ')
}

// options writes bytes as "OPT (HEX) ".
func (l *line) options(o []byte) {
	l.str("OPT (")
	for _, c := range o {
		l.b = append(l.b, "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
	}
	l.str(") ")
}

// incomplete says how many bytes there are of a header that is cut off.
func (l *line) incomplete(n int) {
	l.num("INCOMPLETE [", uint32(n))
	l.str("bytes] ")
}

// tail is the owner of the socket and the mark; not for quoted packets.
func (l *line) tail(inner bool) {
	if inner {
		return
	}
	if o := l.t.SocketOwner; o != nil && !o.Kernel && l.flags&UID != 0 {
		l.num("UID=", o.UID)
		l.num("GID=", o.GID)
	}
	if l.t.Mark != 0 {
		l.hex("MARK=0x", l.t.Mark, 1)
	}
}

func appendMAC(b []byte, k *packet.Link, f Flags) []byte {
	if f&MACDecode != 0 {
		if !k.HasMAC {
			return b
		}
		b = appendBytes(append(b, "MACSRC="...), k.Src[:])
		b = appendBytes(append(b, " MACDST="...), k.Dst[:])
		b = append(b, " MACPROTO="...)
		b = appendByte(appendByte(b, byte(k.Proto>>8)), byte(k.Proto))
		return append(b, ' ')
	}
	b = append(b, "MAC="...)
	if k.HasMAC {
		b = append(appendBytes(b, k.Dst[:]), ':')
		b = append(appendBytes(b, k.Src[:]), ':')
		b = append(appendByte(b, byte(k.Proto>>8)), ':')
		b = appendByte(b, byte(k.Proto))
	}
	return append(b, ' ')
}

func appendBytes(b, p []byte) []byte {
	for i, c := range p {
		if i > 0 {
			b = append(b, ':')
		}
		b = appendByte(b, c)
	}
	return b
}

func appendByte(b []byte, c byte) []byte {
	return append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
}

func be16(b []byte) uint32 { return uint32(binary.BigEndian.Uint16(b)) }

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

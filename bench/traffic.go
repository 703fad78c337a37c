package main

import "encoding/binary"

// Addresses: the LAN is 10/8, the servers are 198.18/15 (set aside for
// benchmarks by RFC 2544), the gateway masquerades as wanAddr.
const (
	lanNet    = 0x0a000000
	serverNet = 198<<24 | 18<<16
	wanAddr   = 203<<24 | 113<<8 | 2
	packetLen = 64
)

// serverPorts are the ports that flows go to. Rules that must not match avoid
// them, and avoid the range of the clients' ports.
var serverPorts = [4]uint16{443, 80, 53, 8443}

const clientPortMin = 32768 // clients' ports are 32768..49151

// Way is the direction of a packet as the gateway sees it.
type Way uint8

// The two directions.
const (
	Outward Way = iota // from lan0 to wan0
	Inward             // from wan0 to lan0
)

// Kind is the part that a packet plays in its flow.
type Kind uint8

// The kinds of packets. UDP knows data only.
const (
	Data    Kind = iota
	Opening      // SYN, and SYN with ACK inward
)

// Flow is one connection.
type Flow struct {
	Client, Server         uint32
	ClientPort, ServerPort uint16
	TCP                    bool
	ISN                    [2]uint32
}

// mix is a bijection of 32 bits (the finisher of MurmurHash3).
func mix(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x85ebca6b
	x ^= x >> 13
	x *= 0xc2b2ae35
	return x ^ x>>16
}

// FlowAt is the flow of a number. Protocol, server and client port come from
// disjoint bits of a bijection: no two flows meet after masquerading, so that
// a gateway can keep every port.
func FlowAt(i uint32) Flow {
	x, y := mix(i), mix(i^0x5bd1e995)
	return Flow{
		Client:     lanNet | (1+y&3)<<16 | (y>>2&255)<<8 | (2 + y>>10%250),
		Server:     serverNet | x>>1&0x1ffff,
		ClientPort: clientPortMin + uint16(x>>18),
		ServerPort: serverPorts[y>>20&3],
		TCP:        x&1 == 1,
		ISN:        [2]uint32{y * 7, x * 5},
	}
}

// synOptions: MSS 1460, SACK permitted, time stamps, window scale 7.
var synOptions = [24]byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7, 1, 1, 1, 1}

// Build writes the flow's packet into b (64 bytes). public and port are the
// client's address as the server sees it. step moves TCP's sequence on.
func (f *Flow) Build(b []byte, w Way, k Kind, public uint32, port uint16, step uint32) {
	b = b[:packetLen]
	src, dst, sport, dport := f.Client, f.Server, f.ClientPort, f.ServerPort
	if w == Inward {
		src, dst, sport, dport = f.Server, public, f.ServerPort, port
	}
	binary.BigEndian.PutUint64(b[0:], 0x45000040_00004000)
	proto := byte(17)
	if f.TCP {
		proto = 6
	}
	b[8], b[9], b[10], b[11] = 64, proto, 0, 0
	binary.BigEndian.PutUint32(b[12:], src)
	binary.BigEndian.PutUint32(b[16:], dst)
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b[:20])))

	l := b[20:]
	binary.BigEndian.PutUint16(l[0:], sport)
	binary.BigEndian.PutUint16(l[2:], dport)
	at := 6
	if !f.TCP {
		binary.BigEndian.PutUint16(l[4:], packetLen-20)
		l[6], l[7] = 0, 0
		fill(l[8:])
	} else {
		at = 16
		seq, ack := f.ISN[w], f.ISN[1-w]+1
		flags, offset := byte(0x10), byte(5<<4)
		switch {
		case k == Opening && w == Outward:
			flags, offset, ack = 0x02, 11<<4, 0
		case k == Opening:
			flags, offset = 0x12, 11<<4
		default:
			flags = 0x18
			seq += 1 + step*24
		}
		binary.BigEndian.PutUint32(l[4:], seq)
		binary.BigEndian.PutUint32(l[8:], ack)
		l[12], l[13], l[14], l[15] = offset, flags, 0xff, 0xff
		l[16], l[17], l[18], l[19] = 0, 0, 0, 0
		if k == Opening {
			copy(l[20:], synOptions[:])
		} else {
			fill(l[20:])
		}
	}
	c := ^fold(sum(b[12:]) + uint64(proto) + packetLen - 20)
	if c == 0 && !f.TCP {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(l[at:], c)
}

func fill(b []byte) {
	for i := 0; i+4 <= len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], 0x77656972)
	}
}

// sum adds 16-bit words; len(b) is a multiple of 4.
func sum(b []byte) (s uint64) {
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.BigEndian.Uint32(b))
	}
	return s>>32 + s&0xffffffff
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// random is SplitMix64: the same numbers for every subject.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is a number under n.
func (r *random) below(n int) int { return int(r.next() >> 32 * uint64(n) >> 32) }

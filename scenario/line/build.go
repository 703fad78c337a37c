package line

import (
	"encoding/binary"
	"encoding/hex"

	"weir/packet"
)

var be = binary.BigEndian

// build makes the bytes of the packet: one slice, or one for each fragment.
func (s *spec) build() ([][]byte, error) {
	l4 := s.payload
	first := !s.isFrag || s.fragOff == 0
	if first {
		var err error
		if l4, err = s.layer4(); err != nil {
			return nil, err
		}
	}
	if s.fragSize > 0 {
		var out [][]byte
		for off := 0; off < len(l4) || off == 0; off += s.fragSize {
			f := *s
			f.isFrag, f.fragOff = true, off
			end := min(off+s.fragSize, len(l4))
			f.fragMore = end < len(l4)
			d, err := f.layer3(l4[off:end])
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
		return out, nil
	}
	d, err := s.layer3(l4)
	if err != nil {
		return nil, err
	}
	if s.trunc >= 0 && s.trunc < len(d) {
		d = d[:s.trunc]
	}
	return [][]byte{d}, nil
}

func (s *spec) layer3(l4 []byte) ([]byte, error) {
	if s.fam == packet.IPv6 {
		return s.ipv6(l4)
	}
	hlen := 20 + (len(s.ipopts)+3)&^3
	total := hlen + len(l4)
	if total > 65535 {
		return nil, errorf(1, "an IPv4 packet of %d bytes cannot be", total)
	}
	d := make([]byte, total)
	d[0] = 0x40 | byte(hlen/4)
	d[1] = s.tos
	be.PutUint16(d[2:], uint16(total))
	id := s.id
	if s.isFrag {
		id = s.fragID
		if id > 65535 {
			return nil, errorf(1, "the id of an IPv4 fragment has 16 bits")
		}
		w := uint16(s.fragOff / 8)
		if s.fragMore {
			w |= 0x2000
		}
		be.PutUint16(d[6:], w)
	}
	be.PutUint16(d[4:], uint16(id))
	if s.df {
		d[6] |= 0x40
	}
	d[8], d[9] = s.ttl, s.proto
	copy(d[12:], s.src.AsSlice())
	copy(d[16:], s.dst.AsSlice())
	copy(d[20:], s.ipopts)
	copy(d[hlen:], l4)
	sum := packet.IPv4HeaderChecksum(d[:hlen])
	if s.badipsum {
		sum ^= 0x5555
	}
	be.PutUint16(d[10:], sum)
	return d, nil
}

func (s *spec) ipv6(l4 []byte) ([]byte, error) {
	d := make([]byte, 40, 60+len(l4))
	d[0], d[1] = 0x60|s.tos>>4, s.tos<<4
	d[7] = s.ttl
	copy(d[8:], s.src.AsSlice())
	copy(d[24:], s.dst.AsSlice())
	next := 6 // where the number of the next header goes
	for _, w := range s.ext {
		k, v, _ := w.keyed()
		b, _ := hex.DecodeString(v.text)
		n := (2 + len(b) + 7) &^ 7
		if n > 2048 {
			return nil, errorf(v.col, "an extension header of %d bytes cannot be", n)
		}
		h := make([]byte, n)
		h[1] = byte(n/8 - 1)
		copy(h[2:], b)
		if k != "rh" {
			padOptions(h[2+len(b):])
		}
		d[next] = map[string]byte{"hbh": packet.HopByHop, "dst": packet.DestOpts, "rh": packet.Routing}[k]
		next = len(d)
		d = append(d, h...)
	}
	if s.isFrag {
		d[next] = packet.Fragment
		next = len(d)
		h := make([]byte, 8)
		w := uint16(s.fragOff)
		if s.fragMore {
			w |= 1
		}
		be.PutUint16(h[2:], w)
		be.PutUint32(h[4:], s.fragID)
		d = append(d, h...)
	}
	d[next] = s.proto
	d = append(d, l4...)
	if len(d)-40 > 65535 {
		return nil, errorf(1, "an IPv6 payload of %d bytes cannot be", len(d)-40)
	}
	be.PutUint16(d[4:], uint16(len(d)-40))
	return d, nil
}

// padOptions fills the rest of an options header with Pad1 or PadN.
func padOptions(b []byte) {
	if len(b) >= 2 {
		b[0], b[1] = 1, byte(len(b)-2)
	}
}

// layer4 makes header and payload with the checksum.
func (s *spec) layer4() ([]byte, error) {
	var b []byte
	var err error
	sum := -1 // offset of the checksum
	switch s.kind {
	case "tcp":
		b, sum = s.tcpHeader(), 16
	case "udp", "udplite":
		b, sum = make([]byte, 8), 6
		s.ports(b)
		be.PutUint16(b[4:], uint16(8+len(s.payload)))
		b = append(b, s.payload...)
	case "icmp", "icmp6":
		b, err = s.icmpMessage()
		sum = 2
	case "sctp":
		b = s.sctpPacket()
		be.PutUint32(b[8:], packet.SCTPChecksum(b))
		if s.badsum {
			b[8] ^= 0x55
		}
	case "gre":
		b = s.greHeader()
	case "dccp":
		b = make([]byte, 16)
		s.ports(b)
		b[4], b[8] = 4, 1 // data offset in words; request, X=1
		b = append(b, s.payload...)
		sum = 6
	default:
		b = s.payload
	}
	if err != nil {
		return nil, err
	}
	if s.badsum && sum < 0 && s.kind != "sctp" {
		return nil, errorf(1, "%s has no checksum to spoil", s.kind)
	}
	if sum >= 0 && !s.nosum {
		var acc uint32
		if s.kind != "icmp" {
			acc = packet.PseudoSum(s.fam, packet.AddrOf(s.src), packet.AddrOf(s.dst), s.proto, len(b))
		}
		c := ^packet.Fold(packet.Sum(b, acc))
		if c == 0 && (s.kind == "udp" || s.kind == "udplite") {
			c = 0xffff
		}
		if s.badsum {
			c ^= 0x5555
		}
		be.PutUint16(b[sum:], c)
	}
	return b, nil
}

func (s *spec) ports(b []byte) {
	be.PutUint16(b, s.sport)
	be.PutUint16(b[2:], s.dport)
}

func (s *spec) tcpHeader() []byte {
	n := 20 + (len(s.tcp.opts)+3)&^3
	b := make([]byte, n, n+len(s.payload))
	s.ports(b)
	be.PutUint32(b[4:], s.tcp.seq)
	be.PutUint32(b[8:], s.tcp.ack)
	b[12] = byte(n/4) << 4
	if s.tcp.doff >= 0 {
		b[12] = byte(s.tcp.doff) << 4
	}
	b[13] = s.tcp.flags
	be.PutUint16(b[14:], s.tcp.win)
	be.PutUint16(b[18:], s.tcp.urg)
	copy(b[20:], s.tcp.opts)
	return append(b, s.payload...)
}

func (s *spec) icmpMessage() ([]byte, error) {
	if !s.icmp.set {
		return nil, errorf(1, "%s needs a message: echo, echo-reply, port-unreachable, …, or TYPE/CODE", s.kind)
	}
	b := make([]byte, 8)
	b[0], b[1] = s.icmp.typ, s.icmp.code
	switch {
	case s.icmp.hasInfo:
		be.PutUint32(b[4:], s.icmp.info)
	default:
		be.PutUint16(b[4:], s.icmp.id)
		be.PutUint16(b[6:], s.icmp.seq)
	}
	if s.inner == nil {
		return append(b, s.payload...), nil
	}
	d, err := s.inner.build()
	if err != nil {
		return nil, err
	}
	q := d[0]
	if s.quote >= 0 && s.quote < len(q) {
		q = q[:s.quote]
	}
	return append(append(b, q...), s.payload...), nil
}

func (s *spec) sctpPacket() []byte {
	b := make([]byte, 12)
	s.ports(b)
	be.PutUint32(b[4:], s.sctp.vtag)
	for _, c := range s.sctp.chunks {
		var body []byte
		switch c {
		case 1, 2: // INIT and INIT ACK: tag, window, streams, first TSN
			body = make([]byte, 16)
			be.PutUint32(body, s.sctp.itag)
			be.PutUint32(body[4:], 65535)
			be.PutUint16(body[8:], 1)
			be.PutUint16(body[10:], 1)
			be.PutUint32(body[12:], 1)
		case 0: // DATA: TSN, stream, sequence, protocol, payload
			body = append(make([]byte, 12), s.payload...)
		case 3: // SACK
			body = make([]byte, 12)
		case 7: // SHUTDOWN
			body = make([]byte, 4)
		default:
			body = s.payload
		}
		h := []byte{c, 0, 0, 0}
		if c == 0 {
			h[1] = 3 // first and last fragment of a message
		}
		be.PutUint16(h[2:], uint16(4+len(body)))
		b = append(append(b, h...), body...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	if len(s.sctp.chunks) == 0 {
		b = append(b, s.payload...)
	}
	return b
}

func (s *spec) greHeader() []byte {
	b := make([]byte, 4)
	b[1] = s.gre.ver
	be.PutUint16(b[2:], s.gre.proto)
	if s.gre.ver == 1 { // enhanced GRE of PPTP: payload length and call id
		b[0] = 0x20
		be.PutUint16(b[2:], 0x880b)
		b = be.AppendUint16(b, uint16(len(s.payload)))
		b = be.AppendUint16(b, uint16(s.gre.key))
	} else if s.gre.hasKey {
		b[0] = 0x20
		b = be.AppendUint32(b, s.gre.key)
	}
	return append(b, s.payload...)
}

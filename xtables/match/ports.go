package match

import (
	"encoding/binary"
	"strconv"

	"weir/hook"
	"weir/packet"
)

// l4 is the first n bytes of the layer-4 header. A packet that is cut off
// before is dropped, as Linux does; a fragment that is not the first has no
// header and matches nothing.
func l4(t *hook.Traversal, n int) []byte {
	p := t.Pkt
	if p.FragOff != 0 {
		return nil
	}
	if p.L4 < 0 || len(p.Data)-p.L4 < n {
		t.Hotdrop = true
		return nil
	}
	return p.Data[p.L4:]
}

// ports are the two ports of a header that l4 returned with at least 4 bytes.
func ports(h []byte) (src, dst uint16) {
	return binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
}

// noHeader says in a trace why there was nothing to look at.
func noHeader(p *packet.Packet) string {
	if p.FragOff != 0 {
		return "is a later fragment"
	}
	return "the header is cut off"
}

func dec(v uint64) string { return strconv.FormatUint(v, 10) }

func hex(v uint64) string { return "0x" + strconv.FormatUint(v, 16) }

// explainPorts says which ports a packet has.
func explainPorts(p *packet.Packet) string {
	if p.FragOff != 0 || p.L4 < 0 || len(p.Data)-p.L4 < 4 {
		return noHeader(p)
	}
	s, d := ports(p.Data[p.L4:])
	return "sport is " + dec(uint64(s)) + ", dport is " + dec(uint64(d))
}

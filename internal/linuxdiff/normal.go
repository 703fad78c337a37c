package linuxdiff

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"weir/engine"
	"weir/internal/kernel"
	"weir/internal/wire"
)

// byDevice sorts outputs by device and keeps their order within one: between
// devices the kernel's order is not seen.
func byDevice(out []kernel.Output) []kernel.Output {
	sorted := append([]kernel.Output(nil), out...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Dev < sorted[j].Dev })
	return sorted
}

func outputs(r *engine.Result) (out []kernel.Output) {
	for _, o := range r.Out {
		if !o.Dev.Loopback {
			out = append(out, kernel.Output{Dev: o.Dev.Name, Data: append([]byte(nil), o.Data...)})
		}
	}
	return out
}

// normal hides the identification of packets that the machine made itself, in
// being the packet that came in. The id of a forwarded packet stays.
func normal(data, in []byte) []byte {
	b := append([]byte(nil), data...)
	v, ok := wire.Parse(b)
	if !ok {
		return b
	}
	if b[0]>>4 == 6 {
		// Linux chooses the id of the fragments that it makes.
		if at := fragmentHeader(b); at > 0 {
			copy(b[at+4:at+8], make([]byte, 4))
		}
		return b
	}
	if v.Proto != wire.ProtoICMP || len(in) >= 6 && in[0]>>4 == 4 && [2]byte(b[4:6]) == [2]byte(in[4:6]) {
		return b
	}
	b[4], b[5] = 0, 0
	wire.FixIP(b)
	return b
}

// fragmentHeader finds the fragment header of an IPv6 packet; 0 if it has none.
func fragmentHeader(b []byte) int {
	next, at := b[6], 40
	for at+8 <= len(b) {
		switch next {
		case 44:
			return at
		case 0, 43, 60:
			next, at = b[at], at+8*(int(b[at+1])+1)
		default:
			return 0
		}
	}
	return 0
}

// sameOutputs compares what left. It describes both sides if they differ.
func sameOutputs(in []byte, k, w []kernel.Output) (kernelText, weirText string, same bool) {
	k, w = byDevice(k), byDevice(w)
	same = len(k) == len(w)
	for i := 0; same && i < len(k); i++ {
		// Both are made equal only where the kernel's is its own.
		same = k[i].Dev == w[i].Dev && string(normal(k[i].Data, in)) == string(normal(w[i].Data, in))
	}
	if same {
		return "", "", true
	}
	return describe(k), describe(w), false
}

func describe(out []kernel.Output) string {
	if len(out) == 0 {
		return "nothing leaves"
	}
	var b strings.Builder
	for i, o := range out {
		if i > 0 {
			b.WriteString("\n  ")
		}
		fmt.Fprintf(&b, "%s %s  %s", o.Dev, Brief(o.Data), hex.EncodeToString(o.Data))
	}
	return b.String()
}

// Brief is a packet in a line, for people.
func Brief(data []byte) string {
	v, ok := wire.Parse(data)
	if !ok {
		return fmt.Sprintf("[%d bytes, no IP header]", len(data))
	}
	s := fmt.Sprintf("%s > %s proto %d ttl %d len %d", v.Src, v.Dst, v.Proto, v.TTL, len(data))
	if v.Fragment {
		s += " fragment"
	}
	switch {
	case v.Proto == wire.ProtoTCP && len(v.L4) >= 20:
		p, q := v.Ports()
		s += fmt.Sprintf(" tcp %d>%d flags %#02x seq %d ack %d win %d", p, q, v.L4[13],
			binary.BigEndian.Uint32(v.L4[4:]), binary.BigEndian.Uint32(v.L4[8:]), binary.BigEndian.Uint16(v.L4[14:]))
	case v.Proto == wire.ProtoUDP && len(v.L4) >= 8:
		p, q := v.Ports()
		s += fmt.Sprintf(" udp %d>%d", p, q)
	case (v.Proto == wire.ProtoICMP || v.Proto == wire.ProtoICMP6) && len(v.L4) >= 8:
		s += fmt.Sprintf(" icmp %d/%d %08x", v.L4[0], v.L4[1], v.L4[4:8])
	}
	return s
}

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

// normal hides what Linux takes at random in packets that the machine made
// itself: the identification of ICMP messages and of the fragments of IPv6.
// made says that this is one.
func normal(data []byte, made bool) []byte {
	b := append([]byte(nil), data...)
	v, ok := wire.Parse(b)
	if !ok {
		return b
	}
	if b[0]>>4 == 6 {
		if at := fragmentHeader(b); at > 0 {
			copy(b[at+4:at+8], make([]byte, 4))
		}
		return b
	}
	if !made || v.Proto != wire.ProtoICMP {
		return b
	}
	b[4], b[5] = 0, 0
	wire.FixIP(b)
	return b
}

// made reports an IPv4 packet of which one side's form has not the id of the one
// that came in: that of an error may be it by chance.
func made(k, w, in []byte) bool {
	other := func(data []byte) bool {
		return len(data) < 6 || len(in) < 6 || in[0]>>4 != 4 || [2]byte(data[4:6]) != [2]byte(in[4:6])
	}
	return other(k) || len(k) != len(in) && other(w)
}

// sameClock makes the times of day in weir's timestamp reply the kernel's, if
// they are less than two seconds apart (RFC 792); weir's clock is ahead by so many
// ns.
func sameClock(k, w []byte, ahead int64) []byte {
	const reply, receive, end, day = 14, 12, 20, 86400000
	a, _ := wire.Parse(k)
	b, _ := wire.Parse(w)
	if len(k) != len(w) || a.Proto != wire.ProtoICMP || b.Proto != wire.ProtoICMP || len(a.L4) < end || len(b.L4) < end || a.L4[0] != reply || b.L4[0] != reply {
		return w
	}
	for i := receive; i < end; i += 4 {
		d := int64(binary.BigEndian.Uint32(b.L4[i:])) - int64(binary.BigEndian.Uint32(a.L4[i:])) - ahead/1e6
		if d = (d%day + day) % day; d > 2000 && d < day-2000 {
			return w
		}
	}
	w = append([]byte(nil), w...)
	at := len(w) - len(b.L4)
	copy(w[at+2:at+4], a.L4[2:4])
	copy(w[at+receive:at+end], a.L4[receive:end])
	return w
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
func sameOutputs(in []byte, k, w []kernel.Output, ahead int64) (kernelText, weirText string, same bool) {
	k, w = byDevice(k), byDevice(w)
	same = len(k) == len(w)
	for i := 0; same && i < len(k); i++ {
		// Both are made equal only where the kernel's is its own.
		own := made(k[i].Data, w[i].Data, in)
		a, b := k[i].Data, w[i].Data
		if own {
			b = sameClock(a, b, ahead)
		}
		same = k[i].Dev == w[i].Dev && string(normal(a, own)) == string(normal(b, own))
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

package render

import (
	"encoding/binary"
	"strconv"

	"weir/packet"
)

// Summary describes a packet in one short line, much as tcpdump does. It
// takes any bytes: what cannot be read is said to be cut off or not IP.
func Summary(data []byte) string { return string(AppendSummary(nil, data)) }

// AppendSummary is Summary onto b.
func AppendSummary(b, data []byte) []byte { return appendSummary(b, data, 0) }

func appendSummary(b, data []byte, depth int) []byte {
	if len(data) == 0 {
		return append(b, "nothing"...)
	}
	var p packet.Packet
	cut := false
	switch data[0] >> 4 {
	case 4:
		ihl := int(data[0]&15) * 4
		if len(data) < 20 || ihl < 20 || ihl > len(data) {
			return append(b, "ip cut off or malformed"...)
		}
		total := int(binary.BigEndian.Uint16(data[2:]))
		if total < ihl {
			total = len(data) // quoted or broken: take what is there
		}
		cut = total > len(data)
		p = packet.Packet{Data: data[:min(total, len(data))], Family: packet.IPv4}
	case 6:
		if len(data) < 40 {
			return append(b, "ip6 cut off"...)
		}
		total := 40 + int(binary.BigEndian.Uint16(data[4:]))
		cut = total > len(data)
		p = packet.Packet{Data: data[:min(total, len(data))], Family: packet.IPv6}
	default:
		b = append(b, "not IP: "...)
		return appendHex(b, data[:min(len(data), 8)])
	}
	p.Reparse()
	b = summarize(b, &p, depth)
	if cut && depth == 0 {
		b = append(b, " cut off"...)
	}
	return b
}

func summarize(b []byte, p *packet.Packet, depth int) []byte {
	b = append(b, protoName(p.Proto)...)
	l4 := p.Payload()
	ports := len(l4) >= 4
	switch p.Proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP:
	default:
		ports = false
	}
	b = append(b, ' ')
	b = appendEnd(b, p, p.Src(), l4, 0, ports)
	b = append(b, " > "...)
	b = appendEnd(b, p, p.Dst(), l4, 2, ports)
	if p.L4 >= 0 {
		switch p.Proto {
		case packet.TCP:
			b = tcpSummary(b, l4, depth)
		case packet.UDP, packet.UDPLite:
			if len(l4) >= 8 {
				b = appendLen(b, len(l4)-8)
			}
		case packet.ICMP, packet.ICMPv6:
			b = icmpSummary(b, p, l4, depth)
		case packet.SCTP:
			b = sctpSummary(b, l4)
		default:
			b = appendLen(b, len(l4))
		}
	}
	return fragSummary(b, p)
}

func appendEnd(b []byte, p *packet.Packet, a packet.Addr, l4 []byte, off int, ports bool) []byte {
	ip := a.IP(p.Family)
	if !ports {
		return ip.AppendTo(b)
	}
	if p.Family == packet.IPv6 {
		b = append(b, '[')
		b = ip.AppendTo(b)
		b = append(b, ']')
	} else {
		b = ip.AppendTo(b)
	}
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(l4[off:])), 10)
}

func appendLen(b []byte, n int) []byte {
	if n <= 0 {
		return b
	}
	b = append(b, " len "...)
	return strconv.AppendInt(b, int64(n), 10)
}

func tcpSummary(b, l4 []byte, depth int) []byte {
	if len(l4) < 20 {
		if depth > 0 {
			return b // a quotation need not be longer
		}
		return append(b, " tcp header cut off"...)
	}
	b = append(b, " ["...)
	b = AppendTCPFlags(b, l4[13])
	b = append(b, ']')
	hlen := int(l4[12]>>4) * 4
	if hlen < 20 || hlen > len(l4) {
		return append(b, " bad header length"...)
	}
	return appendLen(b, len(l4)-hlen)
}

// AppendTCPFlags writes TCP flags as letters in tcpdump's order, ACK as a dot.
func AppendTCPFlags(b []byte, f uint8) []byte {
	const letters = "FSRP.UEW"
	n := len(b)
	for i := range 8 {
		if i != 4 && f&(1<<i) != 0 {
			b = append(b, letters[i])
		}
	}
	if f&packet.TCPAck != 0 {
		b = append(b, '.')
	}
	if len(b) == n {
		b = append(b, "none"...)
	}
	return b
}

func icmpSummary(b []byte, p *packet.Packet, l4 []byte, depth int) []byte {
	if len(l4) < 8 {
		return append(b, " cut off"...)
	}
	typ, code := l4[0], l4[1]
	name, echo, isErr := icmpName(p.Proto, typ, code)
	b = append(b, ' ')
	if name == "" {
		b = append(b, "type "...)
		b = strconv.AppendUint(b, uint64(typ), 10)
		b = append(b, " code "...)
		b = strconv.AppendUint(b, uint64(code), 10)
	} else {
		b = append(b, name...)
	}
	if echo {
		b = append(b, " id "...)
		b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(l4[4:])), 10)
		b = append(b, " seq "...)
		b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(l4[6:])), 10)
	}
	if p.Proto == packet.ICMP && typ == 3 && code == 4 || p.Proto == packet.ICMPv6 && typ == 2 {
		b = append(b, " mtu "...)
		b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint32(l4[4:])), 10)
	}
	if isErr && len(l4) > 8 && depth < 2 {
		b = append(b, " ("...)
		b = appendSummary(b, l4[8:], depth+1)
		b = append(b, ')')
	}
	return b
}

func icmpName(proto, typ, code uint8) (name string, echo, isErr bool) {
	if proto == packet.ICMPv6 {
		switch typ {
		case 1:
			names := [...]string{"no route", "admin prohibited", "beyond scope", "addr unreachable", "port unreachable", "policy fail", "reject route"}
			if int(code) < len(names) {
				return names[code], false, true
			}
			return "unreachable", false, true
		case 2:
			return "packet too big", false, true
		case 3:
			if code == 1 {
				return "reassembly time exceeded", false, true
			}
			return "time exceeded", false, true
		case 4:
			return "parameter problem", false, true
		case 128:
			return "echo request", true, false
		case 129:
			return "echo reply", true, false
		case 130, 131, 132, 143:
			return "multicast listener", false, false
		case 133:
			return "router solicitation", false, false
		case 134:
			return "router advertisement", false, false
		case 135:
			return "neighbour solicitation", false, false
		case 136:
			return "neighbour advertisement", false, false
		case 137:
			return "redirect", false, false
		}
		return "", false, false
	}
	switch typ {
	case 0:
		return "echo reply", true, false
	case 3:
		names := [...]string{
			"net unreachable", "host unreachable", "protocol unreachable", "port unreachable", "frag needed",
			"source route failed", "net unknown", "host unknown", "host isolated", "net prohibited", "host prohibited",
			"net unreachable for tos", "host unreachable for tos", "admin prohibited", "precedence violation", "precedence cutoff",
		}
		if int(code) < len(names) {
			return names[code], false, true
		}
		return "unreachable", false, true
	case 4:
		return "source quench", false, true
	case 5:
		return "redirect", false, true
	case 8:
		return "echo request", true, false
	case 9:
		return "router advertisement", false, false
	case 10:
		return "router solicitation", false, false
	case 11:
		if code == 1 {
			return "reassembly time exceeded", false, true
		}
		return "time exceeded", false, true
	case 12:
		return "parameter problem", false, true
	case 13:
		return "timestamp request", true, false
	case 14:
		return "timestamp reply", true, false
	case 15:
		return "information request", true, false
	case 16:
		return "information reply", true, false
	case 17:
		return "address mask request", true, false
	case 18:
		return "address mask reply", true, false
	}
	return "", false, false
}

func sctpSummary(b, l4 []byte) []byte {
	names := [...]string{
		"DATA", "INIT", "INIT ACK", "SACK", "HEARTBEAT", "HEARTBEAT ACK", "ABORT", "SHUTDOWN", "SHUTDOWN ACK",
		"ERROR", "COOKIE ECHO", "COOKIE ACK", "ECNE", "CWR", "SHUTDOWN COMPLETE",
	}
	if len(l4) < 12 {
		return append(b, " cut off"...)
	}
	sep := " ["
	any := false
	for off, n := 12, 0; off+4 <= len(l4) && n < 8; n++ {
		b = append(b, sep...)
		if t := int(l4[off]); t < len(names) {
			b = append(b, names[t]...)
		} else {
			b = append(b, "chunk "...)
			b = strconv.AppendInt(b, int64(t), 10)
		}
		sep, any = ", ", true
		clen := int(binary.BigEndian.Uint16(l4[off+2:]))
		if clen < 4 {
			break
		}
		off += (clen + 3) &^ 3
	}
	if any {
		b = append(b, ']')
	}
	return b
}

func fragSummary(b []byte, p *packet.Packet) []byte {
	if p.FragOff == 0 && !p.More && p.FragHdr == 0 {
		return b
	}
	id := uint64(0)
	if p.Family == packet.IPv4 {
		id = uint64(p.ID())
	} else if p.FragHdr+8 <= len(p.Data) {
		id = uint64(binary.BigEndian.Uint32(p.Data[p.FragHdr+4:]))
	}
	b = append(b, " frag "...)
	b = strconv.AppendUint(b, id, 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, uint64(p.FragOff), 10)
	if p.More {
		b = append(b, '+')
	}
	return b
}

// protoName is the usual word for a protocol number, or "proto N".
func protoName(p uint8) string {
	switch p {
	case packet.ICMP:
		return "icmp"
	case packet.IGMP:
		return "igmp"
	case packet.IPIP:
		return "ipip"
	case packet.TCP:
		return "tcp"
	case packet.UDP:
		return "udp"
	case packet.DCCP:
		return "dccp"
	case packet.GRE:
		return "gre"
	case packet.ESP:
		return "esp"
	case packet.AH:
		return "ah"
	case packet.ICMPv6:
		return "icmp6"
	case packet.SCTP:
		return "sctp"
	case packet.UDPLite:
		return "udplite"
	}
	return "proto " + strconv.Itoa(int(p))
}

func appendHex(b, d []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range d {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return b
}

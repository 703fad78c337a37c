package nat

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// ICMP types of redirects; a redirect about a translated connection would
// send the peer to an address that it must not know.
const (
	redirect4 = 5
	redirect6 = 137
)

// ICMPError translates an ICMP error that belongs to a connection: the packet
// that it quotes gets the form that its sender knows, the outer header that of
// a packet of the connection. False: drop. Linux:
// nf_nat_icmp_reply_translation, nf_nat_icmpv6_reply_translation.
func ICMPError(t *hook.Traversal, m Manip) bool { return translateError(t, m) == "" }

// translateError is ICMPError with a reason: empty if the packet may pass.
func translateError(t *hook.Traversal, m Manip) (why string) {
	p, c, d := t.Pkt, t.CT.Conn, t.CT.Info.Dir()
	innerLen, redirect := 40, uint8(redirect6)
	if p.Family == packet.IPv4 {
		innerLen, redirect = 20, redirect4
	}
	if p.L4 < 0 || len(p.Data) < p.L4+8+innerLen {
		return "ICMP error without the header of a packet"
	}
	if !p.L4ChecksumOK() {
		return "ICMP error with a wrong checksum"
	}
	if p.Data[p.L4] == redirect && (!c.Has(conntrack.NATDoneMask) || c.Status&conntrack.NATMask != 0) {
		return "ICMP redirect about a translated connection"
	}
	if !c.Has(m.bit(d)) {
		return ""
	}
	target, ok := c.Tuple[1-d].Inverse()
	if !ok {
		return "a connection that has no answer"
	}
	// The quoted packet went the other way, before it was translated: the
	// other side, and the tuple itself in place of its inverse. Its header
	// length is not questioned, nor is it by Linux.
	p.Pull(p.L4 + 8 + innerLen)
	inner := header{p.Data[p.L4+8:], p.Family, p, p.L4 + 8}
	if !inner.manip(&c.Tuple[1-d], 1-m) {
		return "ICMP error that quotes too little of a packet"
	}
	p.Data[p.L4+2], p.Data[p.L4+3] = 0, 0
	b := p.Data[p.L4:]
	acc := uint32(0)
	if p.Family == packet.IPv6 {
		acc = packet.PseudoSum(p.Family, p.Src(), p.Dst(), packet.ICMPv6, len(b))
	}
	binary.BigEndian.PutUint16(b[2:], ^packet.Fold(packet.Sum(b, acc)))
	target.Proto = p.Proto
	if !outer(p).manip(&target, m) {
		return "too short to be translated"
	}
	return ""
}

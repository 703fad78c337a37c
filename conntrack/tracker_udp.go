package conntrack

import "encoding/binary"

// udpStream is how long a UDP connection must last before replies make it a
// stream; a question and its answer do not.
const udpStream = 2 * second

// trackUDP. Linux: net/netfilter/nf_conntrack_proto_udp.c.
func trackUDP(v *visit) result {
	if len(v.b) < 8 {
		return v.fail(whyShort)
	}
	if n := int(binary.BigEndian.Uint16(v.b[4:])); n < 8 || n > len(v.b) {
		return v.fail(whyMalformed)
	}
	if v.badChecksum() {
		return v.fail(whyChecksum)
	}
	if v.fresh() {
		*v.c.streamDeadline() = v.now + udpStream
	}
	if v.c.Status&SeenReply == 0 || v.now <= *v.c.streamDeadline() {
		v.refresh(v.tb.timeout(v.c, 0, v.tb.cfg.UDPTimeout))
		return accepted
	}
	v.stream(v.tb.cfg.UDPStreamTimeout)
	return accepted
}

// stream is a packet of a connection that has proved itself.
func (v *visit) stream(sysctl int64) {
	v.refresh(v.tb.timeout(v.c, 1, sysctl))
	if v.c.Status&NATClash == 0 {
		v.assure()
	}
}

// trackUDPLite is UDP with partial checksums (RFC 3828) and without the rule
// about streams.
func trackUDPLite(v *visit) result {
	if len(v.b) < 8 {
		return v.fail(whyShort)
	}
	if n := int(binary.BigEndian.Uint16(v.b[4:])); n != 0 && n < 8 || n > len(v.b) {
		return v.fail(whyMalformed)
	}
	if v.b[6] == 0 && v.b[7] == 0 {
		return v.fail(whyMalformed)
	}
	if v.badChecksum() {
		return v.fail(whyChecksum)
	}
	if v.c.Status&SeenReply == 0 {
		v.refresh(v.tb.timeout(v.c, 0, v.tb.cfg.UDPTimeout))
	} else {
		v.stream(v.tb.cfg.UDPStreamTimeout)
	}
	return accepted
}

package helper

import (
	"encoding/binary"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/trace"
)

// call is one packet before a helper.
type call struct {
	t    *hook.Traversal
	tb   *conntrack.Table
	c    *conntrack.Conn
	dir  conntrack.Dir
	name string
	id   conntrack.HelperID
	// rewritten: the payload was changed.
	rewritten bool
}

// established reports traffic in both directions.
func (k *call) established() bool {
	return k.t.CT.Info == conntrack.InfoEstablished || k.t.CT.Info == conntrack.InfoEstablishedReply
}

// translated reports a connection whose packets are rewritten.
func (k *call) translated() bool { return k.c.Status&conntrack.NATMask != 0 }

// own is the connection's tuple in the packet's direction, other the opposite.
func (k *call) own() *conntrack.Tuple   { return &k.c.Tuple[k.dir] }
func (k *call) other() *conntrack.Tuple { return &k.c.Tuple[1-k.dir] }

// tcp is where the data of a segment begins in the packet, and the data. ok is
// false without a whole header or without data. The packet may be an ICMP error
// about the connection, which is read as a segment like Linux reads it.
func (k *call) tcp() (off int, data []byte, ok bool) {
	d, l4 := k.t.Pkt.Data, k.t.Pkt.L4
	if len(d) < l4+20 {
		return 0, nil, false
	}
	off = l4 + int(d[l4+12]>>4)*4
	if off >= len(d) {
		return 0, nil, false
	}
	return off, d[off:], true
}

// udp is what follows a UDP header, as tcp for segments.
func (k *call) udp() (off int, data []byte, ok bool) {
	d := k.t.Pkt.Data
	if off = k.t.Pkt.L4 + 8; off >= len(d) {
		return 0, nil, false
	}
	return off, d[off:], true
}

// linear makes a reassembled packet one whole (Linux: skb_linearize).
func (k *call) linear() { k.t.Pkt.Pull(len(k.t.Pkt.Data)) }

// drop refuses the packet and says why, in the log and in a trace.
// Linux: nf_ct_helper_log and NF_DROP.
func (k *call) drop(why string) hook.Verdict {
	k.log(why)
	if k.t.Trace.On() {
		k.t.Trace.Add(trace.Step{Kind: trace.KindHelper, Text: k.name + ": " + why, Verdict: "DROP"})
	}
	return k.t.Drop(hook.ReasonHelper)
}

func (k *call) log(why string) {
	if k.t.Env.Log != nil {
		k.t.Env.Log.Log(k.t, hook.LogRecord{Source: "nf_ct_" + k.name, Level: 4, Text: "dropping packet: " + why})
	}
}

// replace writes text in place of n bytes at offset at of the packet, of which
// the layer-4 payload begins before at, and makes lengths and checksums right.
// A segment's sequence numbers are recorded as moved if move is set. False: the
// packet would be too long. Linux: nf_nat_mangle_tcp_packet,
// nf_nat_mangle_udp_packet.
func (k *call) replace(at, n int, text []byte, move bool) bool {
	p := k.t.Pkt
	d := p.Data
	diff := len(text) - n
	if len(d)+diff > 65535 {
		return false
	}
	k.linear()
	k.rewritten = true
	p.Data = splice(d, at, n, text)
	d = p.Data
	if p.Family == packet.IPv4 {
		binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
		h := d[:p.HeaderLen()]
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(h))
	} else {
		binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40))
	}
	b := d[p.L4:]
	if k.c.Proto() == packet.UDP {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
		if b[6]|b[7] == 0 {
			return true
		}
	} else if move && diff != 0 {
		k.tb.SetSeqAdj(k.c, k.dir, binary.BigEndian.Uint32(b[4:]), int32(diff))
	}
	SumAnew(p)
	return true
}

// SumAnew computes the checksum of layer 4 as Linux does for a packet that it has
// rewritten, at the very end: a sum of zero becomes 0xffff with TCP too.
// Linux: skb_checksum_help.
func SumAnew(p *packet.Packet) {
	p.FixL4Checksum()
	p.Unsummed = true
	if b := p.Payload(); p.Proto == packet.TCP && len(b) >= 18 && b[16]|b[17] == 0 {
		b[16], b[17] = 0xff, 0xff
	}
}

// splice replaces n bytes at an offset, in place where there is room.
func splice(d []byte, at, n int, text []byte) []byte {
	tail := d[at+n:]
	if len(text) <= n {
		m := copy(d[at:], text)
		copy(d[at+m:], tail)
		return d[:len(d)-n+m]
	}
	out := make([]byte, 0, len(d)-n+len(text))
	out = append(out, d[:at]...)
	out = append(out, text...)
	return append(out, tail...)
}

// tell writes into a trace what the helper did.
func (k *call) tell(text string) {
	if k.t.Trace.On() {
		k.t.Trace.Add(trace.Step{Kind: trace.KindHelper, Match: true, Text: k.name + ": " + text, Verdict: "ACCEPT"})
	}
}

// rewrites tells that text is written in place of n bytes.
func (k *call) rewrites(at, n int, text string) {
	if k.t.Trace.On() {
		k.tell(quote(k.t.Pkt.Data[at:at+n]) + " becomes " + quote([]byte(text)))
	}
}

// quote is payload for a trace or a log.
func quote(b []byte) string { return strconv.Quote(string(b)) }

package helper

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// tftp expects the answer to a request, which comes from another port
// (RFC 1350 section 4). Linux: nf_conntrack_tftp.c, nf_nat_tftp.c.
func tftp() helper {
	return helper{name: "tftp", families: both(), proto: packet.UDP, classes: one(1, 300*second), help: helpTFTP}
}

func helpTFTP(k *call) hook.Verdict {
	const readRequest, writeRequest = 1, 2
	d, at := k.t.Pkt.Data, k.t.Pkt.L4+8
	if len(d) < at+2 {
		return hook.Accept
	}
	if op := binary.BigEndian.Uint16(d[at:]); op != readRequest && op != writeRequest {
		return hook.Accept
	}
	reply := &k.c.Tuple[conntrack.Reply]
	src := reply.Src
	e := k.expect(0, packet.UDP, &src, reply.Dst, reply.DstL4)
	if k.translated() {
		e.SavedL4, e.Dir, e.Fn = k.c.Tuple[conntrack.Original].SrcL4, conntrack.Reply, fnFollow
	}
	if _, res := k.enter(&e, false); res != conntrack.ExpectOK {
		return k.drop("cannot add expectation")
	}
	return hook.Accept
}

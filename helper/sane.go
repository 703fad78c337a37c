package helper

import (
	"encoding/binary"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// sane expects the connection on which a scanner sends its image.
// Linux: nf_conntrack_sane.c.
func sane() helper {
	return helper{name: "sane", families: both(), proto: packet.TCP, classes: one(1, 300*second), help: helpSANE}
}

// saneAsked is the word that is 1 while the client waits for the answer to a
// request to start.
const saneAsked = 0

func helpSANE(k *call) hook.Verdict {
	const netStart, requestLen, replyLen = 7, 8, 8
	if !k.established() {
		return hook.Accept
	}
	_, data, ok := k.tcp()
	if !ok {
		return hook.Accept
	}
	asked := &k.tb.HelpData(k.c)[saneAsked]
	be := binary.BigEndian
	if k.dir == conntrack.Original {
		if len(data) == requestLen {
			*asked = 0
			if be.Uint32(data) == netStart {
				*asked = 1
			}
		}
		return hook.Accept
	}
	if *asked == 0 {
		return hook.Accept
	}
	*asked = 0
	if len(data) < replyLen || be.Uint32(data) != 0 || be.Uint16(data[4:]) != 0 {
		return hook.Accept
	}
	orig := &k.c.Tuple[conntrack.Original]
	e := k.expect(0, packet.TCP, &orig.Src, orig.Dst, be.Uint16(data[6:]))
	if _, res := k.enter(&e, false); res != conntrack.ExpectOK {
		return k.drop("cannot add expectation")
	}
	return hook.Accept
}

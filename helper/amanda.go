package helper

import (
	"bytes"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// amanda expects the connections of a backup: the client answers with the ports
// to which the server then connects. Linux: nf_conntrack_amanda.c,
// nf_nat_amanda.c.
func amanda() helper {
	return helper{name: "amanda", families: both(), proto: packet.UDP, classes: one(4, 180*second), help: helpAmanda}
}

func helpAmanda(k *call) hook.Verdict {
	if k.dir == conntrack.Original {
		return hook.Accept
	}
	k.tb.Refresh(k.c, 300*second, k.t.Now) // answers take long
	off, data, ok := k.udp()
	if !ok {
		return hook.Accept
	}
	const connect = "CONNECT "
	start := bytes.Index(data, []byte(connect))
	if start < 0 {
		return hook.Accept
	}
	start += len(connect)
	length := bytes.IndexByte(data[start:], '\n')
	if length < 0 {
		return hook.Accept
	}
	v := hook.Accept
	stop := start + length
	for _, word := range []string{"DATA ", "MESG ", "INDEX ", "STATE "} {
		data = k.t.Pkt.Data[off:] // it may have been rewritten
		at := bytes.Index(data[start:stop], []byte(word))
		if at < 0 {
			continue
		}
		at += start + len(word)
		port, n := number(data[at:min(stop, at+5)])
		if uint16(port) == 0 || n > 5 {
			break
		}
		orig := &k.c.Tuple[conntrack.Original]
		e := k.expect(0, packet.TCP, &orig.Src, orig.Dst, uint16(port))
		if k.translated() {
			v = k.amandaTranslated(&e, off+at, n)
		} else if _, res := k.enter(&e, false); res != conntrack.ExpectOK {
			v = k.drop("cannot add expectation")
		}
	}
	return v
}

func (k *call) amandaTranslated(e *conntrack.Expect, at, n int) hook.Verdict {
	e.SavedL4, e.Dir, e.Fn = e.Tuple.DstL4, conntrack.Original, fnFollow
	x := k.findPort(e, e.SavedL4)
	if x == nil {
		return k.drop("all ports in use")
	}
	text := strconv.Itoa(int(x.Tuple.DstL4))
	k.rewrites(at, n, text)
	if !k.replace(at, n, []byte(text), true) {
		k.tb.Unexpect(x, k.t.Now)
		return k.drop("cannot mangle packet")
	}
	return hook.Accept
}

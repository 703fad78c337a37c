package helper

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// irc expects the connections that a client offers to another one by DCC.
// Linux: nf_conntrack_irc.c, nf_nat_irc.c.
func irc() helper {
	return helper{name: "irc", families: four(), proto: packet.TCP, classes: one(8, 300*second), help: helpIRC}
}

const (
	ircLongest = 4095 // bytes of a segment that are looked at
	ircShort   = 10   // the shortest "PRIVMSG x "
	ircOffer   = 26   // the shortest offer behind it
)

func helpIRC(k *call) hook.Verdict {
	if k.dir == conntrack.Reply || !k.established() {
		return hook.Accept
	}
	off, data, ok := k.tcp()
	if !ok {
		return hook.Accept
	}
	b := data[:min(len(data), ircLongest)]
	i := 0
	for i < len(b)-ircShort && (b[i] == ' ' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	if i < len(b)-ircShort {
		if !hasFold(b[i:], "privmsg ") {
			return hook.Accept
		}
		i += 8
	}
	for ; i < len(b)-ircOffer; i++ {
		if b[i] != ' ' || b[i+1] != ':' {
			continue
		}
		i += 2
		if !bytes.HasPrefix(b[i:], []byte("\x01DCC ")) {
			return hook.Accept
		}
		return k.ircOffers(off, b, i+5)
	}
	return hook.Accept
}

// ircOffers reads the offer at b[i:]. Linux tries the words one after the other
// and goes on behind one whose rest it did not understand.
func (k *call) ircOffers(off int, b []byte, i int) hook.Verdict {
	for _, word := range []string{"SEND ", "CHAT ", "MOVE ", "TSEND ", "SCHAT "} {
		if !bytes.HasPrefix(b[i:], []byte(word)) {
			continue
		}
		i += len(word)
		m, next, ok := readDCC(b, i)
		i = next
		if !ok {
			continue
		}
		if m.port == 0 || m.addr != k.own().Src && m.addr != k.other().Dst {
			k.tell("ignores a forged DCC command with " + m.addr.IP(packet.IPv4).String() + " port " + strconv.Itoa(int(m.port)))
			continue
		}
		e := k.expect(0, packet.TCP, nil, k.other().Dst, m.port)
		if k.translated() {
			return k.ircTranslated(&e, off+m.at, m.n)
		}
		if _, res := k.enter(&e, false); res != conntrack.ExpectOK {
			return k.drop("cannot add expectation")
		}
		return hook.Accept
	}
	return hook.Accept
}

// ircTranslated writes where the machine takes the connection into the offer.
func (k *call) ircTranslated(e *conntrack.Expect, at, n int) hook.Verdict {
	to := k.c.Tuple[conntrack.Reply].Dst
	e.SavedL4, e.Dir, e.Fn = e.Tuple.DstL4, conntrack.Reply, fnFollow
	x := k.findPort(e, e.SavedL4)
	if x == nil {
		return k.drop("all ports in use")
	}
	text := strconv.FormatUint(uint64(binary.BigEndian.Uint32(to[:])), 10) + " " + strconv.Itoa(int(x.Tuple.DstL4))
	k.rewrites(at, n, text)
	if !k.replace(at, n, []byte(text), true) {
		k.tb.Unexpect(x, k.t.Now)
		return k.drop("cannot mangle packet")
	}
	return hook.Accept
}

// dcc is an address and a port in decimal numbers, and where they stand.
type dcc struct {
	addr  packet.Addr
	port  uint16
	at, n int
}

// readDCC reads the argument, the address and the port of an offer from b[i:]
// and returns how far it came. The line must end. Linux: parse_dcc.
func readDCC(b []byte, i int) (m dcc, next int, ok bool) {
	for ; ; i++ {
		if b[i] == ' ' {
			i++
			break
		}
		if i+1 > len(b)-12 {
			return m, i, false
		}
	}
	if bytes.IndexByte(b[i:], '\n') < 0 {
		return m, i, false
	}
	m.at = i
	v, n := number(b[i:])
	binary.BigEndian.PutUint32(m.addr[:], uint32(v))
	for i += n; b[i] == ' '; i++ {
	}
	v, n = number(b[i:])
	m.port = uint16(v)
	m.n = i + n - m.at
	return m, i + n, true
}

package line

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"weir/hook"
	"weir/packet"
)

// Packet is what one line says: one datagram, in more than one piece when the
// line cuts it into fragments.
type Packet struct {
	// After is how long the clock runs before this packet.
	After time.Duration
	// In is the interface by which it arrives; "local" for one that the
	// machine sends.
	In   string
	Link packet.Link
	// Owner is who sends it by words uid= and gid=; nil without.
	Owner *hook.Owner
	// Data is the IP packets, in order.
	Data [][]byte
}

// spec is a packet as words; build turns it into bytes.
type spec struct {
	fam      packet.Family
	proto    uint8
	src, dst netip.Addr
	sport    uint16
	dport    uint16
	hasPorts bool
	kind     string // tcp, udp, icmp, icmp6, sctp, gre, …; "proto" for a number

	ttl      uint8
	tos      uint8
	id       uint32
	hasID    bool
	df       bool
	ipopts   []byte
	ext      []word // hop-by-hop and other IPv6 extension headers
	badsum   bool
	badipsum bool
	nosum    bool
	trunc    int // -1: whole

	payload []byte
	inner   *spec
	quote   int // bytes of the inner packet that an error quotes; -1 all

	// fragments
	fragID   uint32
	fragOff  int
	fragMore bool
	isFrag   bool
	fragSize int // cut into pieces of so many payload bytes

	tcp  tcpSpec
	icmp icmpSpec
	sctp sctpSpec
	gre  greSpec
}

type tcpSpec struct {
	flags    uint8
	seq, ack uint32
	win, urg uint16
	opts     []byte
	doff     int // -1: as the options want
}

type icmpSpec struct {
	typ, code uint8
	set       bool
	id, seq   uint16
	info      uint32
	hasInfo   bool
}

type sctpSpec struct {
	vtag, itag uint32
	chunks     []uint8
}

type greSpec struct {
	ver    uint8
	proto  uint16
	key    uint32
	hasKey bool
}

// protocols are the words that stand for a protocol number.
var protocols = map[string]uint8{
	"tcp": packet.TCP, "udp": packet.UDP, "udplite": packet.UDPLite, "icmp": packet.ICMP,
	"icmp6": packet.ICMPv6, "icmpv6": packet.ICMPv6, "sctp": packet.SCTP, "gre": packet.GRE,
	"dccp": packet.DCCP, "esp": packet.ESP, "ah": packet.AH, "ipip": packet.IPIP, "igmp": packet.IGMP,
}

// Parse reads one line. Errors are *Error.
func Parse(text string) (*Packet, error) {
	ws, err := split(text, 1)
	if err != nil {
		return nil, err
	}
	end := len(text) + 1
	p := &Packet{}
	if len(ws) > 0 && ws[0].text[0] == '+' {
		d, err := time.ParseDuration(ws[0].text[1:])
		if err != nil || d < 0 {
			return nil, errorf(ws[0].col, "%q is not a time, as +2.5s, +30ms, +5m", ws[0].text)
		}
		p.After = d
		ws = ws[1:]
	}
	if len(ws) == 0 {
		return nil, errorf(end, "expected the interface by which the packet arrives, or local")
	}
	p.In = ws[0].text
	ws = ws[1:]
	if len(ws) > 0 && ws[0].text == "raw" {
		return p, p.raw(ws[1:], end)
	}
	var s *spec
	if s, err = parseSpec(ws, end, p); err != nil {
		return nil, err
	}
	p.Data, err = s.build()
	if err != nil {
		return nil, err
	}
	p.framed()
	return p, nil
}

// framed sets the type of the frame, if there is one, to the packet's.
func (p *Packet) framed() {
	if p.Link.HasMAC {
		p.Link.Proto = 0x0800
		if p.Data[0][0]>>4 == 6 {
			p.Link.Proto = 0x86dd
		}
	}
}

// raw takes the packet as hex digits; blanks between them are free.
func (p *Packet) raw(ws []word, end int) error {
	var b []byte
	for _, w := range ws {
		if ok, err := p.linkWord(w); ok {
			if err != nil {
				return err
			}
			continue
		}
		x, err := hex.DecodeString(w.text)
		if err != nil {
			return errorf(w.col, "%q is not a row of hex bytes", w.text)
		}
		b = append(b, x...)
	}
	if len(b) == 0 {
		return errorf(end, "expected the packet's bytes in hex")
	}
	p.Data = [][]byte{b}
	p.framed()
	return nil
}

// linkWord reads the words about the link layer and about the sender.
func (p *Packet) linkWord(w word) (bool, error) {
	k, v, ok := w.keyed()
	if !ok {
		return false, nil
	}
	switch k {
	case "uid", "gid":
		if p.In != "local" {
			return true, errorf(w.col, "%s= is for packets that the machine sends: local", k)
		}
		n, err := v.number(32)
		if p.Owner == nil {
			p.Owner = &hook.Owner{}
		}
		if k == "uid" {
			p.Owner.UID = uint32(n)
		} else {
			p.Owner.GID = uint32(n)
		}
		return true, err
	case "smac", "dmac":
		hw, err := net.ParseMAC(v.text)
		if err != nil || len(hw) != 6 {
			return true, errorf(v.col, "%q is not a MAC address", v.text)
		}
		if k == "smac" {
			copy(p.Link.Src[:], hw)
		} else {
			copy(p.Link.Dst[:], hw)
		}
		p.Link.HasMAC = true
		return true, nil
	case "link":
		t, ok := map[string]packet.LinkType{
			"host": packet.ToHost, "broadcast": packet.ToBroadcast, "multicast": packet.ToMulticast, "other": packet.ToOther,
		}[v.text]
		if !ok {
			return true, errorf(v.col, "%q is not host, broadcast, multicast or other", v.text)
		}
		p.Link.Type = t
		return true, nil
	}
	return false, nil
}

// parseSpec reads what follows the interface. p is nil inside brackets.
func parseSpec(ws []word, end int, p *Packet) (*spec, error) {
	s := &spec{ttl: 64, trunc: -1, quote: -1}
	s.tcp.win, s.tcp.doff = 65535, -1
	if len(ws) == 0 {
		return nil, errorf(end, "expected a protocol: tcp, udp, icmp, icmp6, sctp, gre, proto=N, raw")
	}
	w := ws[0]
	if k, v, ok := w.keyed(); ok && k == "proto" {
		n, err := v.number(8)
		if err != nil {
			return nil, err
		}
		s.kind, s.proto = "proto", uint8(n)
	} else if n, ok := protocols[w.text]; ok {
		s.kind, s.proto = w.text, n
	} else {
		return nil, errorf(w.col, "%q is not a protocol: tcp, udp, icmp, icmp6, sctp, gre, proto=N, raw", w.text)
	}
	if s.kind == "icmpv6" {
		s.kind = "icmp6"
	}
	if len(ws) < 4 {
		return nil, errorf(end, "expected SOURCE > DESTINATION")
	}
	if ws[2].text != ">" {
		return nil, errorf(ws[2].col, "expected > between source and destination")
	}
	var err error
	if s.src, s.sport, err = s.endpoint(ws[1]); err != nil {
		return nil, err
	}
	if s.dst, s.dport, err = s.endpoint(ws[3]); err != nil {
		return nil, err
	}
	if s.src.Is4() != s.dst.Is4() {
		return nil, errorf(ws[3].col, "source and destination are of different families")
	}
	s.fam = packet.FamilyOf(s.src)
	for _, w := range ws[4:] {
		if p != nil {
			ok, err := p.linkWord(w)
			if err != nil {
				return nil, err
			}
			if ok {
				continue
			}
		}
		if err := s.word(w); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ported says whether the protocol has ports.
func (s *spec) ported() bool {
	switch s.proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP:
		return s.kind != "proto"
	}
	return false
}

// endpoint reads 192.0.2.1:80, [2001:db8::1]:80, or an address alone.
func (s *spec) endpoint(w word) (netip.Addr, uint16, error) {
	if a, err := netip.ParseAddr(strings.Trim(w.text, "[]")); err == nil && a.Zone() == "" {
		if s.ported() {
			hint := w.text + ":80"
			if a.Is6() {
				hint = "[" + strings.Trim(w.text, "[]") + "]:80"
			}
			return a, 0, errorf(w.col, "%s needs ports: %s", s.kind, hint)
		}
		return a, 0, nil
	}
	ap, err := netip.ParseAddrPort(w.text)
	if err != nil || ap.Addr().Zone() != "" {
		return netip.Addr{}, 0, errorf(w.col, "%q is not an address with a port", w.text)
	}
	if !s.ported() {
		return netip.Addr{}, 0, errorf(w.col, "%s has no ports", s.kind)
	}
	return ap.Addr(), ap.Port(), nil
}

// word reads one word behind the addresses.
func (s *spec) word(w word) error {
	if w.text[0] == '[' {
		if s.kind != "icmp" && s.kind != "icmp6" {
			return errorf(w.col, "only ICMP quotes a packet in brackets")
		}
		ws, err := split(w.text[1:len(w.text)-1], w.col+1)
		if err != nil {
			return err
		}
		s.inner, err = parseSpec(ws, w.col+len(w.text)-1, nil)
		return err
	}
	k, v, keyed := w.keyed()
	if !keyed {
		return s.plainWord(w)
	}
	set8 := func(p *uint8) error { n, err := v.number(8); *p = uint8(n); return err }
	set16 := func(p *uint16) error { n, err := v.number(16); *p = uint16(n); return err }
	set32 := func(p *uint32) error { n, err := v.number(32); *p = uint32(n); return err }
	switch k {
	case "ttl", "hl":
		return set8(&s.ttl)
	case "tos", "tclass":
		return set8(&s.tos)
	case "len":
		n, err := v.number(16)
		if err != nil {
			return err
		}
		s.payload = make([]byte, n)
		for i := range s.payload {
			s.payload[i] = byte('a' + i%26)
		}
		return nil
	case "data":
		t, err := strconv.Unquote(v.text)
		if err != nil {
			t = v.text
		}
		s.payload = []byte(t)
		return nil
	case "hex":
		b, err := hex.DecodeString(v.text)
		if err != nil {
			return errorf(v.col, "%q is not a row of hex bytes", v.text)
		}
		s.payload = b
		return nil
	case "opt":
		b, err := hex.DecodeString(v.text)
		if err != nil || len(b) > 40 {
			return errorf(v.col, "%q is not up to 40 bytes of IP options in hex", v.text)
		}
		if s.fam == packet.IPv6 {
			return errorf(w.col, "IPv6 has no options in its header: hbh=, dst=, rh=")
		}
		s.ipopts = b
		return nil
	case "hbh", "dst", "rh":
		if s.fam != packet.IPv6 {
			return errorf(w.col, "%s= is for IPv6", k)
		}
		if _, err := hex.DecodeString(v.text); err != nil {
			return errorf(v.col, "%q is not a row of hex bytes", v.text)
		}
		s.ext = append(s.ext, w)
		return nil
	case "frag":
		return s.frag(v)
	case "trunc":
		n, err := v.number(16)
		s.trunc = int(n)
		return err
	case "quote":
		n, err := v.number(16)
		s.quote = int(n)
		return err
	case "id":
		if s.kind == "icmp" || s.kind == "icmp6" {
			return set16(&s.icmp.id)
		}
		s.hasID = true
		if err := set32(&s.id); err != nil || s.fam == packet.IPv6 {
			if err == nil {
				err = errorf(w.col, "IPv6 has no id but in fragments: frag=")
			}
			return err
		}
		if s.id > 65535 {
			return errorf(v.col, "%q is not a number of 16 bits", v.text)
		}
		return nil
	case "ipid":
		s.hasID = true
		var id uint16
		err := set16(&id)
		s.id = uint32(id)
		return err
	}
	switch s.kind {
	case "tcp":
		switch k {
		case "seq":
			return set32(&s.tcp.seq)
		case "ack":
			return set32(&s.tcp.ack)
		case "win":
			return set16(&s.tcp.win)
		case "urg":
			return set16(&s.tcp.urg)
		case "doff":
			n, err := v.number(8)
			if n > 15 {
				return errorf(v.col, "doff= counts words, 0 to 15")
			}
			s.tcp.doff = int(n)
			return err
		default:
			return s.tcpOption(k, w, v)
		}
	case "icmp", "icmp6":
		switch k {
		case "type":
			s.icmp.set = true
			return set8(&s.icmp.typ)
		case "code":
			return set8(&s.icmp.code)
		case "seq":
			return set16(&s.icmp.seq)
		case "mtu", "info":
			s.icmp.hasInfo = true
			return set32(&s.icmp.info)
		case "gw":
			a, err := netip.ParseAddr(v.text)
			if err != nil || !a.Is4() {
				return errorf(v.col, "%q is not an IPv4 address", v.text)
			}
			b := a.As4()
			s.icmp.hasInfo = true
			s.icmp.info = uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			return nil
		}
	case "sctp":
		switch k {
		case "vtag":
			return set32(&s.sctp.vtag)
		case "itag":
			return set32(&s.sctp.itag)
		}
	case "gre":
		switch k {
		case "key":
			s.gre.hasKey = true
			return set32(&s.gre.key)
		case "ver":
			return set8(&s.gre.ver)
		case "ptype":
			return set16(&s.gre.proto)
		}
	}
	return errorf(w.col, "%s has no %s=", s.kind, k)
}

// frag reads ID:OFFSET:more, ID:OFFSET:last, or ID/SIZE.
func (s *spec) frag(v word) error {
	if id, size, ok := strings.Cut(v.text, "/"); ok {
		n, err := strconv.ParseUint(id, 0, 32)
		m, err2 := strconv.ParseUint(size, 0, 16)
		if err != nil || err2 != nil || m < 8 {
			return errorf(v.col, "%q is not ID/SIZE with a size of at least 8", v.text)
		}
		s.fragID, s.fragSize = uint32(n), int(m)&^7
		return nil
	}
	part := strings.Split(v.text, ":")
	if len(part) == 3 && (part[2] == "more" || part[2] == "last") {
		n, err := strconv.ParseUint(part[0], 0, 32)
		off, err2 := strconv.ParseUint(part[1], 0, 16)
		if err == nil && err2 == nil && off%8 == 0 {
			s.isFrag, s.fragID, s.fragOff, s.fragMore = true, uint32(n), int(off), part[2] == "more"
			return nil
		}
	}
	return errorf(v.col, "%q is neither ID:OFFSET:more nor ID:OFFSET:last (OFFSET in bytes, a multiple of 8) nor ID/SIZE", v.text)
}

// plainWord reads a word without =.
func (s *spec) plainWord(w word) error {
	switch w.text {
	case "df":
		if s.fam == packet.IPv6 {
			return errorf(w.col, "IPv6 has no df: nobody but the sender cuts")
		}
		s.df = true
		return nil
	case "badsum":
		s.badsum = true
		return nil
	case "badipsum":
		if s.fam == packet.IPv6 {
			return errorf(w.col, "IPv6 has no header checksum")
		}
		s.badipsum = true
		return nil
	case "nosum":
		if s.kind != "udp" {
			return errorf(w.col, "only UDP may go without a checksum")
		}
		s.nosum = true
		return nil
	}
	switch s.kind {
	case "tcp":
		if w.text == "sackok" {
			s.tcp.opts = append(s.tcp.opts, 4, 2)
			return nil
		}
		return s.tcpFlags(w)
	case "icmp", "icmp6":
		return s.icmpName(w)
	case "sctp":
		if c, ok := sctpChunks[w.text]; ok {
			s.sctp.chunks = append(s.sctp.chunks, c)
			return nil
		}
	}
	return errorf(w.col, "%q means nothing to %s", w.text, s.kind)
}

const flagLetters = "FSRPAUEC" // in order of the bits

func (s *spec) tcpFlags(w word) error {
	if w.text == "none" {
		return nil
	}
	for i, c := range w.text {
		if c == '.' {
			c = 'A' // as tcpdump prints it
		}
		j := strings.IndexRune(flagLetters, c)
		if j < 0 {
			return errorf(w.col+i, "%q is not a TCP flag (S A F R P U E C, or none)", c)
		}
		s.tcp.flags |= 1 << j
	}
	return nil
}

// tcpOption reads mss=, ws=, sack=, ts=, topt=.
func (s *spec) tcpOption(k string, w, v word) error {
	be := func(n uint64, bytes int) {
		for i := bytes - 1; i >= 0; i-- {
			s.tcp.opts = append(s.tcp.opts, byte(n>>(8*i)))
		}
	}
	pairs := func(sep string, kind byte) error {
		parts := strings.Split(v.text, ",")
		s.tcp.opts = append(s.tcp.opts, kind, byte(2+8*len(parts)))
		for _, p := range parts {
			a, b, ok := strings.Cut(p, sep)
			x, err := strconv.ParseUint(a, 0, 32)
			y, err2 := strconv.ParseUint(b, 0, 32)
			if !ok || err != nil || err2 != nil {
				return errorf(v.col, "%q is not two numbers with %q between", p, sep)
			}
			be(x, 4)
			be(y, 4)
		}
		return nil
	}
	var err error
	switch k {
	case "mss":
		var n uint64
		if n, err = v.number(16); err == nil {
			s.tcp.opts = append(s.tcp.opts, 2, 4)
			be(n, 2)
		}
	case "ws":
		var n uint64
		if n, err = v.number(8); err == nil {
			s.tcp.opts = append(s.tcp.opts, 3, 3, byte(n))
		}
	case "sack":
		err = pairs("-", 5)
	case "ts":
		err = pairs(":", 8)
	case "topt":
		b, herr := hex.DecodeString(v.text)
		if herr != nil {
			return errorf(v.col, "%q is not a row of hex bytes", v.text)
		}
		s.tcp.opts = append(s.tcp.opts, b...)
	default:
		return errorf(w.col, "tcp has no %s=", k)
	}
	if err == nil && len(s.tcp.opts) > 40 {
		err = errorf(w.col, "more than 40 bytes of TCP options")
	}
	return err
}

// icmpName reads a type by its name or as TYPE/CODE.
func (s *spec) icmpName(w word) error {
	list := icmpNames
	if s.kind == "icmp6" {
		list = icmp6Names
	}
	if tc, ok := list[w.text]; ok {
		s.icmp.typ, s.icmp.code, s.icmp.set = tc[0], tc[1], true
		return nil
	}
	t, c, ok := strings.Cut(w.text, "/")
	x, err := strconv.ParseUint(t, 10, 8)
	y, err2 := strconv.ParseUint(c, 10, 8)
	if ok && err == nil && err2 == nil {
		s.icmp.typ, s.icmp.code, s.icmp.set = uint8(x), uint8(y), true
		return nil
	}
	return errorf(w.col, "%q is no message of %s; TYPE/CODE works for any", w.text, s.kind)
}

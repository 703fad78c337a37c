package helper

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// ftp expects the data connection that PORT, EPRT and the answers to PASV and
// EPSV announce (RFC 959, RFC 1123 section 4.1.2.6, RFC 2428).
// Linux: nf_conntrack_ftp.c, nf_nat_ftp.c.
func ftp() helper {
	return helper{name: "ftp", families: both(), proto: packet.TCP, classes: one(1, 300*second), help: helpFTP}
}

// What the helper remembers of a connection: for each direction up to two
// sequence numbers behind a newline, and how many they are.
const (
	ftpSeq   = 0 // 2 words a direction
	ftpCount = 4 // 1 word a direction
)

// ftpCommand is a form in which an address is announced.
type ftpCommand struct {
	word string // in small letters
	skip byte   // what comes before the address, 0 for nothing
	read func(b []byte, m *ftpMatch) int
	// write is the announcement of another address and port.
	write func(a packet.Addr, f packet.Family, port uint16) string
}

// ftpMatch is what an announcement says, and where.
type ftpMatch struct {
	family  packet.Family
	addr    packet.Addr
	port    uint16
	at, len int
}

// ftpCommands are what the client, or the server, announces with.
func ftpCommands(d conntrack.Dir) [2]ftpCommand {
	if d == conntrack.Original {
		return [2]ftpCommand{
			{"port", ' ', func(b []byte, m *ftpMatch) int { return readCommas(b, m, '\r') }, writeCommas},
			{"eprt", ' ', readEPRT, writeEPRT},
		}
	}
	return [2]ftpCommand{
		{"227 ", 0, readPASV, writeCommas},
		{"229 ", '(', readEPSV, writeEPSV},
	}
}

func helpFTP(k *call) hook.Verdict {
	if !k.established() {
		return hook.Accept
	}
	off, data, ok := k.tcp()
	if !ok {
		return hook.Accept
	}
	k.linear()
	line := data[len(data)-1] == '\n'
	seq := binary.BigEndian.Uint32(k.t.Pkt.Data[k.t.Pkt.L4+4:])
	next := seq + uint32(len(data))
	v := hook.Accept
	if k.ftpBeginsLine(seq) {
		var done bool
		if v, done = k.ftpLine(off, data); done {
			return v
		}
	}
	if line {
		k.ftpEndsLine(next)
	}
	return v
}

// ftpLine looks for an announcement at the beginning of data. done says that
// the packet is not to be followed further.
func (k *call) ftpLine(off int, data []byte) (v hook.Verdict, done bool) {
	m := ftpMatch{family: k.own().L3, addr: k.own().Src}
	for _, cmd := range ftpCommands(k.dir) {
		found, partial := cmd.find(data, &m)
		if partial {
			return k.drop("partial matching of `" + upper(cmd.word) + "'"), true
		}
		if found {
			return k.ftpAnnounced(off, &cmd, &m), false
		}
	}
	return hook.Accept, false
}

// ftpAnnounced expects what was announced.
func (k *call) ftpAnnounced(off int, cmd *ftpCommand, m *ftpMatch) hook.Verdict {
	if m.addr != k.own().Src {
		k.tell("ignores " + m.addr.IP(m.family).String() + ", which is not the sender's address")
		return hook.Accept
	}
	src := k.other().Src
	e := k.expect(0, packet.TCP, &src, k.other().Dst, m.port)
	if !k.translated() {
		if _, res := k.enter(&e, false); res != conntrack.ExpectOK {
			return k.drop("cannot add expectation")
		}
		return hook.Accept
	}
	to := k.other().Dst
	e.SavedL4, e.Dir, e.Fn = e.Tuple.DstL4, 1-k.dir, fnFollow
	x := k.findPort(&e, e.SavedL4)
	if x == nil {
		return k.drop("all ports in use")
	}
	text := cmd.write(to, m.family, x.Tuple.DstL4)
	k.rewrites(off+m.at, m.len, text)
	if !k.replace(off+m.at, m.len, []byte(text), true) {
		k.tb.Unexpect(x, k.t.Now)
		return k.drop("cannot mangle packet")
	}
	return hook.Accept
}

func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// find looks for the command at the beginning of b. partial: it begins there
// and is not whole. Linux: find_pattern.
func (cmd *ftpCommand) find(b []byte, m *ftpMatch) (found, partial bool) {
	if len(b) <= len(cmd.word) {
		for i := range b {
			if fold(b[i]) != cmd.word[i] {
				return false, false
			}
		}
		return false, true
	}
	if !hasFold(b, cmd.word) {
		return false, false
	}
	i := len(cmd.word)
	if cmd.skip != 0 {
		for ; b[i] != cmd.skip; i++ {
			if i == len(b)-1 {
				return false, true
			}
		}
		i++
	}
	m.at = i
	m.len = cmd.read(b[i:], m)
	return m.len > 0, m.len == 0
}

// numbers reads decimal numbers with a separator between them and returns how
// many bytes they are; 0 unless all are there and term follows, or with term 0
// anything.
func numbers(b []byte, to []uint32, sep, term byte) int {
	i := 0
	for n, c := range b {
		switch {
		case isDigit(c):
			to[i] = to[i]*10 + uint32(c-'0')
		case c == sep:
			if i++; i == len(to) {
				return 0
			}
		case (c == term || term == 0) && i == len(to)-1:
			return n
		default:
			return 0
		}
	}
	return 0
}

// readCommas reads an address and a port as six numbers (RFC 959 section 4.1.2).
func readCommas(b []byte, m *ftpMatch, term byte) int {
	var a [6]uint32
	n := numbers(b, a[:], ',', term)
	if n == 0 {
		return 0
	}
	m.set4(a[0]<<24 | a[1]<<16 | a[2]<<8 | a[3])
	m.port = uint16(a[4]<<8 | a[5])
	return n
}

// set4 sets the first four bytes of the address, which is what Linux does with
// a connection over IPv6 too.
func (m *ftpMatch) set4(v uint32) { binary.BigEndian.PutUint32(m.addr[:], v) }

// readPASV is readCommas from the first digit on.
func readPASV(b []byte, m *ftpMatch) int {
	for i, c := range b {
		if isDigit(c) {
			m.at += i
			return readCommas(b[i:], m, 0)
		}
	}
	return 0
}

// readEPRT reads |1|192.0.2.1|6275| or |2|2001:db8::1|6275| (RFC 2428 section 2).
func readEPRT(b []byte, m *ftpMatch) int {
	if len(b) <= 3 {
		return 0
	}
	delim := b[0]
	if !delimiter(delim) || b[2] != delim || m.family == packet.IPv4 && b[1] != '1' || m.family == packet.IPv6 && b[1] != '2' {
		return 0
	}
	n := 0
	if b[1] == '1' {
		var a [4]uint32
		if n = numbers(b[3:], a[:], '.', delim); n > 0 {
			m.set4(a[0]<<24 | a[1]<<16 | a[2]<<8 | a[3])
		}
	} else if a, end, ok := address6(b[3:], int(delim)); ok {
		m.addr, n = a, end
	}
	if n == 0 {
		return 0
	}
	return readPort(b, 3+n+1, delim, m)
}

// readEPSV reads |||6446| (RFC 2428 section 3).
func readEPSV(b []byte, m *ftpMatch) int {
	if len(b) <= 3 || !delimiter(b[0]) || b[1] != b[0] || b[2] != b[0] {
		return 0
	}
	return readPort(b, 3, b[0], m)
}

func delimiter(c byte) bool { return !isDigit(c) && c >= 33 && c <= 126 }

// readPort reads a port up to its delimiter and returns the bytes so far.
func readPort(b []byte, i int, delim byte, m *ftpMatch) int {
	port := uint16(0)
	for ; i < len(b); i++ {
		switch {
		case b[i] == delim:
			if port == 0 {
				return 0
			}
			m.port = port
			return i + 1
		case isDigit(b[i]):
			port = port*10 + uint16(b[i]-'0')
		default:
			return 0
		}
	}
	return 0
}

func writeCommas(a packet.Addr, _ packet.Family, port uint16) string {
	s := ""
	for _, v := range [6]byte{a[0], a[1], a[2], a[3], byte(port >> 8), byte(port)} {
		s += "," + strconv.Itoa(int(v))
	}
	return s[1:]
}

func writeEPRT(a packet.Addr, f packet.Family, port uint16) string {
	ip := a.IP(f)
	if f == packet.IPv4 {
		return "|1|" + ip.String() + "|" + strconv.Itoa(int(port)) + "|"
	}
	return "|2|" + netip.Addr.StringExpanded(ip) + "|" + strconv.Itoa(int(port)) + "|"
}

func writeEPSV(_ packet.Addr, _ packet.Family, port uint16) string {
	return "|||" + strconv.Itoa(int(port)) + "|"
}

// ftpBeginsLine reports that a segment that begins at seq follows a newline. A
// command that is split across segments is not one.
func (k *call) ftpBeginsLine(seq uint32) bool {
	d := k.tb.HelpData(k.c)
	for i := range d[ftpCount+k.dir] {
		if d[ftpSeq+2*uint32(k.dir)+i] == seq {
			return true
		}
	}
	return false
}

// ftpEndsLine remembers where the next line begins, in place of the older of
// the two that are known.
func (k *call) ftpEndsLine(seq uint32) {
	if k.ftpBeginsLine(seq) {
		return
	}
	d := k.tb.HelpData(k.c)
	known := d[ftpSeq+2*k.dir : ftpSeq+2*k.dir+2]
	if n := d[ftpCount+k.dir]; n < 2 {
		known[n] = seq
		d[ftpCount+k.dir]++
		return
	}
	old := 1
	if int32(known[0]-known[1]) < 0 {
		old = 0
	}
	if int32(known[old]-seq) < 0 {
		known[old] = seq
	}
}

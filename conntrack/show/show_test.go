package show_test

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/packet"
)

// The expected lines are those of conntrack-tools 1.4.7 and Linux 6.18.44 for
// the same packets; only the times are ours.

const (
	second  = int64(1e9)
	epoch   = 1_767_225_600*second + 250_000_000
	client  = "192.0.2.1"
	server  = "198.51.100.7"
	client6 = "2001:db8:1::1"
)

type machine struct {
	testing.TB
	tb     *conntrack.Table
	now    int64
	events []string
}

func newMachine(t testing.TB, change func(*conntrack.Config)) *machine {
	cfg := conntrack.DefaultConfig()
	cfg.Acct, cfg.Timestamp = true, true
	if change != nil {
		change(&cfg)
	}
	m := &machine{TB: t, tb: conntrack.New(cfg), now: epoch}
	m.tb.OnEvent(func(e conntrack.Event) {
		m.events = append(m.events, string(show.AppendEvent(nil, &e, show.Extended|show.Timestamp)))
	})
	return m
}

func (m *machine) send(src, dst string, proto uint8, l4 []byte, tmpl *conntrack.Template, mark uint32) {
	m.Helper()
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	var b []byte
	if s.Is4() {
		b = make([]byte, 20)
		b[0], b[8], b[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(l4)))
		copy(b[12:], s.AsSlice())
		copy(b[16:], d.AsSlice())
		binary.BigEndian.PutUint16(b[10:], packet.IPv4HeaderChecksum(b))
	} else {
		b = make([]byte, 40)
		b[0], b[6], b[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(b[4:], uint16(len(l4)))
		copy(b[8:], s.AsSlice())
		copy(b[24:], d.AsSlice())
	}
	var p packet.Packet
	if err := packet.Parse(append(b, l4...), &p); err != nil {
		m.Fatal(err)
	}
	p.FixL4Checksum()
	var ref conntrack.Ref
	m.tb.Track(&p, tmpl, &ref, 0, true, m.now)
	if ref.Conn == nil {
		m.Fatalf("invalid: %s", m.tb.Why())
	}
	if mark != 0 {
		m.tb.SetMark(ref.Conn, mark)
	}
	m.tb.Confirm(&ref, &p, m.now)
	m.tb.Reap()
}

func udp(sport, dport uint16) []byte {
	b := make([]byte, 9)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	b[5] = 9
	return b
}

func tcp(sport, dport uint16, flags uint8, seq, ack uint32, n int) []byte {
	b := make([]byte, 20+n)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12], b[13], b[14], b[15] = 0x50, flags, 0xff, 0xff
	return b
}

func (m *machine) traffic() {
	m.send(client, server, packet.TCP, tcp(1000, 80, packet.TCPSyn, 100, 0, 0), nil, 0)
	m.send(server, client, packet.TCP, tcp(80, 1000, packet.TCPSyn|packet.TCPAck, 500, 101, 0), nil, 0)
	m.send(client, server, packet.TCP, tcp(1000, 80, packet.TCPAck, 101, 501, 0), nil, 0)
	m.send(client, server, packet.TCP, tcp(1000, 80, packet.TCPAck, 101, 501, 10), nil, 0)
	m.send(server, client, packet.TCP, tcp(80, 1000, packet.TCPAck, 501, 111, 0), nil, 0)
	m.send(client, server, packet.UDP, udp(4000, 53), nil, 0)
	m.send(server, client, packet.UDP, udp(53, 4000), nil, 0)
	m.send(client, server, packet.ICMP, []byte{8, 0, 0, 0, 0, 77, 0, 1, 'a', 'b', 'c'}, nil, 0)
	m.send(server, client, packet.ICMP, []byte{0, 0, 0, 0, 0, 77, 0, 1, 'a', 'b', 'c'}, nil, 0)
	m.send(client, server, packet.GRE, []byte{0x20, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34, 'd', 'a', 't', 'a'}, nil, 0)
	m.send(client, server, packet.ESP, []byte("12345678abcd"), nil, 0)
	m.send(client, server, packet.DCCP, []byte("12345678abcd"), nil, 0)
	sctp := func(sport, dport uint16, tag, typ, init byte) []byte {
		b := append(udp(sport, dport)[:4], 0, 0, 0, tag, 0, 0, 0, 0)
		return append(b, typ, 0, 0, 20, 0, 0, 0, init, 0, 0, 3, 232, 0, 1, 0, 1, 0, 0, 0, 1)
	}
	m.send(client, server, packet.SCTP, sctp(900, 901, 0, 1, 7), nil, 0)
	m.send(server, client, packet.SCTP, sctp(901, 900, 7, 2, 9), nil, 0)
}

func (m *machine) zonesAndMarks() {
	both := &conntrack.Template{ZoneID: 5, ZoneDir: conntrack.ZoneBoth}
	orig := &conntrack.Template{ZoneID: 6, ZoneDir: conntrack.ZoneOriginal}
	m.send(client, server, packet.TCP, tcp(1000, 80, packet.TCPAck, 100, 500, 0), nil, 0)
	m.send(server, client, packet.TCP, tcp(80, 1000, packet.TCPAck, 500, 100, 0), nil, 0)
	m.send(client, server, packet.TCP, tcp(1000, 80, packet.TCPAck, 100, 500, 0), nil, 0)
	m.send(client, server, packet.UDP, udp(1, 77), both, 0)
	m.send(client, server, packet.UDP, udp(1, 78), orig, 0)
	m.send(server, client, packet.UDP, udp(78, 1), nil, 0)
	m.send(client, server, packet.UDP, udp(1, 79), nil, 42)
	m.send(client, server, packet.UDP, udp(1, 80), nil, 0)
	m.send(server, client, packet.UDP, udp(80, 1), nil, 43)
	m.send(client6, "2001:db8:2::7", packet.UDP, udp(5, 6), nil, 0)
	m.send(client6, "::1.2.3.4", packet.UDP, udp(5, 6), nil, 0)
	m.send(client6, "2001:db8:2:0:1::7", packet.ICMPv6, []byte{128, 0, 0, 0, 0, 9, 0, 1}, nil, 0)
}

func lines(tb *conntrack.Table, now int64, f func(c *conntrack.Conn) []byte) []string {
	var out []string
	tb.Each(now, func(c *conntrack.Conn) bool { out = append(out, string(f(c))); return true })
	return out
}

func compare(t *testing.T, got []string, want string) {
	t.Helper()
	w := strings.Split(strings.TrimPrefix(want, "\n"), "\n")
	for i := 0; i < max(len(got), len(w)); i++ {
		g, x := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(w) {
			x = w[i]
		}
		if g != x {
			t.Errorf("line %d\n got %s\nwant %s", i+1, g, x)
		}
	}
}

func TestList(t *testing.T) {
	m := newMachine(t, nil)
	m.traffic()
	now := m.now + second - 1
	got := lines(m.tb, now, func(c *conntrack.Conn) []byte { return show.AppendEntry(nil, m.tb, c, now, show.Extended) })
	compare(t, got, `
ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 packets=3 bytes=130 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000 packets=2 bytes=80 [ASSURED] mark=0 delta-time=1 use=1
ipv4     2 udp      17 29 src=192.0.2.1 dst=198.51.100.7 sport=4000 dport=53 packets=1 bytes=29 src=198.51.100.7 dst=192.0.2.1 sport=53 dport=4000 packets=1 bytes=29 mark=0 delta-time=1 use=1
ipv4     2 icmp     1 29 src=192.0.2.1 dst=198.51.100.7 type=8 code=0 id=77 packets=1 bytes=31 src=198.51.100.7 dst=192.0.2.1 type=0 code=0 id=77 packets=1 bytes=31 mark=0 delta-time=1 use=1
ipv4     2 gre      47 29 src=192.0.2.1 dst=198.51.100.7 srckey=0x0 dstkey=0x1234 packets=1 bytes=32 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 srckey=0x1234 dstkey=0x0 packets=0 bytes=0 mark=0 delta-time=1 use=1
ipv4     2 unknown  50 599 src=192.0.2.1 dst=198.51.100.7 packets=1 bytes=32 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 packets=0 bytes=0 mark=0 delta-time=1 use=1
ipv4     2 dccp     33 599 src=192.0.2.1 dst=198.51.100.7 sport=0 dport=0 packets=1 bytes=32 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=0 dport=0 packets=0 bytes=0 mark=0 delta-time=1 use=1
ipv4     2 sctp     132 2 COOKIE_WAIT src=192.0.2.1 dst=198.51.100.7 sport=900 dport=901 packets=1 bytes=52 src=198.51.100.7 dst=192.0.2.1 sport=901 dport=900 packets=1 bytes=52 mark=0 delta-time=1 use=1`)
	plain := lines(m.tb, now, func(c *conntrack.Conn) []byte {
		return show.AppendEntry(nil, m.tb, c, now, show.ID|show.KTimestamp)
	})
	compare(t, plain[1:2], `
udp      17 29 src=192.0.2.1 dst=198.51.100.7 sport=4000 dport=53 packets=1 bytes=29 src=198.51.100.7 dst=192.0.2.1 sport=53 dport=4000 packets=1 bytes=29 mark=0 delta-time=1 [start=Thu Jan  1 00:00:00 2026] use=1 id=2`)
}

func TestListZonesMarksAndIPv6(t *testing.T) {
	m := newMachine(t, func(c *conntrack.Config) { c.UDPTimeout = 2 * second })
	m.zonesAndMarks()
	now := m.now + second/2
	got := lines(m.tb, now, func(c *conntrack.Conn) []byte { return show.AppendEntry(nil, m.tb, c, now, show.Extended) })
	compare(t, got, `
ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 packets=2 bytes=80 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000 packets=1 bytes=40 [ASSURED] mark=0 delta-time=0 use=1
ipv4     2 udp      17 1 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=77 packets=1 bytes=29 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=77 dport=1 packets=0 bytes=0 mark=0 zone=5 delta-time=0 use=1
ipv4     2 udp      17 1 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=78 zone-orig=6 packets=1 bytes=29 src=198.51.100.7 dst=192.0.2.1 sport=78 dport=1 packets=1 bytes=29 mark=0 delta-time=0 use=1
ipv4     2 udp      17 1 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=79 packets=1 bytes=29 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=79 dport=1 packets=0 bytes=0 mark=42 delta-time=0 use=1
ipv4     2 udp      17 1 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=80 packets=1 bytes=29 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1 packets=1 bytes=29 mark=43 delta-time=0 use=1
ipv6     10 udp      17 1 src=2001:db8:1::1 dst=2001:db8:2::7 sport=5 dport=6 packets=1 bytes=49 [UNREPLIED] src=2001:db8:2::7 dst=2001:db8:1::1 sport=6 dport=5 packets=0 bytes=0 mark=0 delta-time=0 use=1
ipv6     10 udp      17 1 src=2001:db8:1::1 dst=::1.2.3.4 sport=5 dport=6 packets=1 bytes=49 [UNREPLIED] src=::1.2.3.4 dst=2001:db8:1::1 sport=6 dport=5 packets=0 bytes=0 mark=0 delta-time=0 use=1
ipv6     10 icmpv6   58 29 src=2001:db8:1::1 dst=2001:db8:2:0:1::7 type=128 code=0 id=9 packets=1 bytes=48 [UNREPLIED] src=2001:db8:2:0:1::7 dst=2001:db8:1::1 type=129 code=0 id=9 packets=0 bytes=0 mark=0 delta-time=0 use=1`)
	proc := lines(m.tb, now, func(c *conntrack.Conn) []byte { return show.AppendProc(nil, m.tb, c, now) })
	compare(t, append(proc[:3:3], proc[6]), `
ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 packets=2 bytes=80 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000 packets=1 bytes=40 [ASSURED] mark=0 zone=0 delta-time=0 use=2
ipv4     2 udp      17 1 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=77 packets=1 bytes=29 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=77 dport=1 packets=0 bytes=0 mark=0 zone=5 delta-time=0 use=2
ipv4     2 udp      17 1 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=78 zone-orig=6 packets=1 bytes=29 src=198.51.100.7 dst=192.0.2.1 sport=78 dport=1 packets=1 bytes=29 mark=0 delta-time=0 use=2
ipv6     10 udp      17 1 src=2001:0db8:0001:0000:0000:0000:0000:0001 dst=0000:0000:0000:0000:0000:0000:0102:0304 sport=5 dport=6 packets=1 bytes=49 [UNREPLIED] src=0000:0000:0000:0000:0000:0000:0102:0304 dst=2001:0db8:0001:0000:0000:0000:0000:0001 sport=6 dport=5 packets=0 bytes=0 mark=0 zone=0 delta-time=0 use=2`)
}

func TestProcOfGREAndUnknown(t *testing.T) {
	m := newMachine(t, nil)
	m.traffic()
	proc := lines(m.tb, m.now, func(c *conntrack.Conn) []byte { return show.AppendProc(nil, m.tb, c, m.now) })
	compare(t, []string{proc[3], proc[5]}, `
ipv4     2 gre      47 30 timeout=30, stream_timeout=180 src=192.0.2.1 dst=198.51.100.7 srckey=0x0 dstkey=0x1234 packets=1 bytes=32 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 srckey=0x1234 dstkey=0x0 packets=0 bytes=0 mark=0 zone=0 delta-time=0 use=2
ipv4     2 unknown  33 600 src=192.0.2.1 dst=198.51.100.7 packets=1 bytes=32 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 packets=0 bytes=0 mark=0 zone=0 delta-time=0 use=2`)
}

func TestEvents(t *testing.T) {
	m := newMachine(t, func(c *conntrack.Config) { c.UDPTimeout = 2 * second })
	m.zonesAndMarks()
	m.now += 3 * second
	m.tb.Each(m.now, func(*conntrack.Conn) bool { return true })
	m.send(client, server, packet.TCP, tcp(1000, 80, packet.TCPRst, 100, 0, 0), nil, 0)
	m.now += second
	m.tb.Flush(m.now)
	for i := range m.events {
		m.events[i] = strings.Replace(m.events[i], "\t", "|", 1)
	}
	compare(t, m.events, `
[1767225600.250000]|    [NEW] ipv4     2 tcp      6 300 ESTABLISHED src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000
[1767225600.250000]| [UPDATE] ipv4     2 tcp      6 300 src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000
[1767225600.250000]| [UPDATE] ipv4     2 tcp      6 432000 src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000 [ASSURED]
[1767225600.250000]|    [NEW] ipv4     2 udp      17 2 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=77 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=77 dport=1 zone=5
[1767225600.250000]|    [NEW] ipv4     2 udp      17 2 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=78 zone-orig=6 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=78 dport=1
[1767225600.250000]| [UPDATE] ipv4     2 udp      17 2 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=78 zone-orig=6 src=198.51.100.7 dst=192.0.2.1 sport=78 dport=1
[1767225600.250000]|    [NEW] ipv4     2 udp      17 2 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=79 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=79 dport=1 mark=42
[1767225600.250000]|    [NEW] ipv4     2 udp      17 2 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=80 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1
[1767225600.250000]| [UPDATE] ipv4     2 udp      17 2 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=80 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1 mark=43
[1767225600.250000]|    [NEW] ipv6     10 udp      17 2 src=2001:db8:1::1 dst=2001:db8:2::7 sport=5 dport=6 [UNREPLIED] src=2001:db8:2::7 dst=2001:db8:1::1 sport=6 dport=5
[1767225600.250000]|    [NEW] ipv6     10 udp      17 2 src=2001:db8:1::1 dst=::1.2.3.4 sport=5 dport=6 [UNREPLIED] src=::1.2.3.4 dst=2001:db8:1::1 sport=6 dport=5
[1767225600.250000]|    [NEW] ipv6     10 icmpv6   58 30 src=2001:db8:1::1 dst=2001:db8:2:0:1::7 type=128 code=0 id=9 [UNREPLIED] src=2001:db8:2:0:1::7 dst=2001:db8:1::1 type=129 code=0 id=9
[1767225603.250000]|[DESTROY] ipv4     2 udp      17 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=77 packets=1 bytes=29 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=77 dport=1 packets=0 bytes=0 zone=5 delta-time=2
[1767225603.250000]|[DESTROY] ipv4     2 udp      17 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=78 zone-orig=6 packets=1 bytes=29 src=198.51.100.7 dst=192.0.2.1 sport=78 dport=1 packets=1 bytes=29 delta-time=2
[1767225603.250000]|[DESTROY] ipv4     2 udp      17 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=79 packets=1 bytes=29 [UNREPLIED] src=198.51.100.7 dst=192.0.2.1 sport=79 dport=1 packets=0 bytes=0 mark=42 delta-time=2
[1767225603.250000]|[DESTROY] ipv4     2 udp      17 src=192.0.2.1 dst=198.51.100.7 sport=1 dport=80 packets=1 bytes=29 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1 packets=1 bytes=29 mark=43 delta-time=2
[1767225603.250000]|[DESTROY] ipv6     10 udp      17 src=2001:db8:1::1 dst=2001:db8:2::7 sport=5 dport=6 packets=1 bytes=49 [UNREPLIED] src=2001:db8:2::7 dst=2001:db8:1::1 sport=6 dport=5 packets=0 bytes=0 delta-time=2
[1767225603.250000]|[DESTROY] ipv6     10 udp      17 src=2001:db8:1::1 dst=::1.2.3.4 sport=5 dport=6 packets=1 bytes=49 [UNREPLIED] src=::1.2.3.4 dst=2001:db8:1::1 sport=6 dport=5 packets=0 bytes=0 delta-time=2
[1767225603.250000]| [UPDATE] ipv4     2 tcp      6 10 CLOSE src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000 [ASSURED]
[1767225604.250000]|[DESTROY] ipv4     2 tcp      6 9 CLOSE src=192.0.2.1 dst=198.51.100.7 sport=1000 dport=80 packets=3 bytes=120 src=198.51.100.7 dst=192.0.2.1 sport=80 dport=1000 packets=1 bytes=40 [ASSURED] delta-time=4
[1767225604.250000]|[DESTROY] ipv6     10 icmpv6   58 26 src=2001:db8:1::1 dst=2001:db8:2:0:1::7 type=128 code=0 id=9 packets=1 bytes=48 [UNREPLIED] src=2001:db8:2:0:1::7 dst=2001:db8:1::1 type=129 code=0 id=9 packets=0 bytes=0 delta-time=4`)
}

func TestStats(t *testing.T) {
	s := conntrack.Stats{Found: 1, Invalid: 2, Insert: 3, InsertFailed: 4, Drop: 5, EarlyDrop: 6, Error: 7, SearchRestart: 8, ClashResolve: 9, ChainTooLong: 10}
	want := "cpu=0   \tfound=1 invalid=2 insert=3 insert_failed=4 drop=5 early_drop=6 error=7 search_restart=8 clash_resolve=9 chaintoolong=10 "
	if got := string(show.AppendStats(nil, s)); got != want {
		t.Errorf("got %q", got)
	}
	m := newMachine(t, nil)
	m.traffic()
	want = "00000007  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000000"
	if got := string(show.AppendProcStats(nil, m.tb)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(strings.Fields(show.ProcStatsHeader)) != len(strings.Fields(want)) {
		t.Error("header and values differ in number")
	}
}

func TestJSON(t *testing.T) {
	m := newMachine(t, nil)
	m.traffic()
	var conns []*conntrack.Conn
	m.tb.Each(m.now, func(c *conntrack.Conn) bool { conns = append(conns, c); return true })
	m.tb.SetLabel(conns[0], 1)
	m.tb.SetLabel(conns[0], 7)
	names := show.ParseLabels([]byte("1 one\n# 7 seven\n"))
	for _, x := range []struct {
		name string
		o    show.Options
		c    *conntrack.Conn
		want string
	}{
		{"an object for each direction", show.JSON, conns[0], `{"id":1,"l3proto":"ipv4","l3num":2,"proto":"tcp","protonum":6,"timeout":432000,"state":"ESTABLISHED","status":["SEEN_REPLY","ASSURED","CONFIRMED"],"original":{"src":"192.0.2.1","dst":"198.51.100.7","sport":1000,"dport":80,"packets":3,"bytes":130},"reply":{"src":"198.51.100.7","dst":"192.0.2.1","sport":80,"dport":1000,"packets":2,"bytes":80},"unreplied":false,"assured":true,"mark":0,"labels":["one","7"],"start":1767225600250000000,"delta_time":0,"use":1}`},
		{"one object", show.Flat, conns[2], `{"id":3,"l3proto":"ipv4","l3num":2,"proto":"icmp","protonum":1,"timeout":30,"status":["SEEN_REPLY","CONFIRMED"],"src":"192.0.2.1","dst":"198.51.100.7","type":8,"code":0,"icmp_id":77,"packets":1,"bytes":31,"reply_src":"198.51.100.7","reply_dst":"192.0.2.1","reply_type":0,"reply_code":0,"reply_icmp_id":77,"reply_packets":1,"reply_bytes":31,"unreplied":false,"assured":false,"mark":0,"start":1767225600250000000,"delta_time":0,"use":1}`},
	} {
		t.Run(x.name, func(t *testing.T) {
			got := (&show.Printer{Options: x.o, Names: names}).Entry(nil, m.tb, x.c, m.now)
			if string(got) != x.want {
				t.Errorf("got  %s\nwant %s", got, x.want)
			}
			var any map[string]any
			if err := json.Unmarshal(got, &any); err != nil {
				t.Error(err)
			}
		})
	}
}

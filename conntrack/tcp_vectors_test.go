package conntrack

import (
	"strings"
	"testing"

	"weir/packet"
)

// The vectors of this file were observed on Linux 6.18.

const (
	cs = uint32(1_000_001) // where the client's data begins
	ss = uint32(5_000_001) // where the server's data begins
)

// tcpBox drives one connection.
type tcpBox struct {
	*box
	win int
}

func (b *tcpBox) c(s seg) string {
	b.Helper()
	if s.win == 0 {
		s.win = b.win
	}
	return b.pass(tcp(b, client4, server4, 1000, 80, s))
}

func (b *tcpBox) s(s seg) string {
	b.Helper()
	if s.win == 0 {
		s.win = b.win
	}
	return b.pass(tcp(b, server4, client4, 80, 1000, s))
}

// sawtooth are the ways into each state.
func (b *tcpBox) start(name string) {
	b.Helper()
	syn := func() { b.c(seg{flags: "S", seq: cs - 1}) }
	synack := func() { b.s(seg{flags: "SA", seq: ss - 1, ack: cs}) }
	shake := func() { syn(); synack(); b.c(seg{flags: "A", seq: cs, ack: ss}) }
	switch name {
	case "":
	case "picked up":
		b.c(seg{flags: "A", seq: cs, ack: ss})
	case "picked up, answered":
		b.start("picked up")
		b.s(seg{flags: "A", seq: ss, ack: cs})
	case "SYN_SENT":
		syn()
	case "SYN_SENT, challenged":
		syn()
		b.s(seg{flags: "A", seq: 77, ack: 555})
	case "SYN_SENT2":
		syn()
		b.s(seg{flags: "S", seq: ss - 1})
	case "SYN_RECV":
		syn()
		synack()
	case "ESTABLISHED":
		shake()
	case "window 1000":
		b.win = 1000
		shake()
	case "100 bytes acked":
		shake()
		b.c(seg{flags: "PA", seq: cs, ack: ss, n: 100})
		b.s(seg{flags: "A", seq: ss, ack: cs + 100})
	case "server sent 50":
		b.start("100 bytes acked")
		b.s(seg{flags: "PA", seq: ss, ack: cs + 100, n: 50})
	case "foreign SYN":
		shake()
		b.c(seg{flags: "S", seq: 777777})
	case "client sent 10":
		shake()
		b.c(seg{flags: "PA", seq: cs, ack: ss, n: 10})
	case "FIN_WAIT":
		shake()
		b.c(seg{flags: "FA", seq: cs, ack: ss})
	case "CLOSE_WAIT":
		b.start("FIN_WAIT")
		b.s(seg{flags: "A", seq: ss, ack: cs + 1})
	case "LAST_ACK":
		b.start("FIN_WAIT")
		b.s(seg{flags: "FA", seq: ss, ack: cs + 1})
	case "TIME_WAIT":
		b.start("LAST_ACK")
		b.c(seg{flags: "A", seq: cs + 1, ack: ss + 1})
	case "CLOSE by client":
		shake()
		b.c(seg{flags: "R", seq: cs})
	case "CLOSE by server":
		shake()
		b.s(seg{flags: "R", seq: ss})
	case "zero window":
		shake()
		b.s(seg{flags: "A", seq: ss, ack: cs, win: -1})
	default:
		b.Fatalf("no start %q", name)
	}
}

// summary is the state and the seconds left, as the tables of the document
// have it.
func (b *tcpBox) summary() string {
	var out []string
	b.tb.Each(b.now, func(c *Conn) bool {
		s := c.TCP().State.String() + "/" + itoa(int(c.Expires(b.now)/second))
		if c.Status&SeenReply == 0 {
			s += " UNREPLIED"
		}
		if c.Status&Assured != 0 {
			s += " ASSURED"
		}
		if c.Tuple[Original].Src == addr(server4) {
			s += " swapped"
		}
		out = append(out, s)
		return true
	})
	if len(out) == 0 {
		return "gone"
	}
	return strings.Join(out, ", ")
}

func itoa(n int) string {
	if n >= 10 {
		return itoa(n/10) + string(rune('0'+n%10))
	}
	return string(rune('0' + n))
}

func TestTCPVectors(t *testing.T) {
	const (
		fromC = "C"
		fromS = "S"
		est   = "ESTABLISHED/432000 ASSURED"
	)
	liberal := func(c *Config) { c.TCPBeLiberal = true }
	strict := func(c *Config) { c.TCPLoose = false }
	anyRST := func(c *Config) { c.TCPIgnoreInvalidRST = true }
	for _, v := range []struct {
		start string
		side  string
		s     seg
		class string
		want  string // "" is: as before the packet, one second later
		conf  func(*Config)
	}{
		{"", fromC, seg{flags: "A", seq: cs, ack: ss}, "NEW", "ESTABLISHED/300 UNREPLIED", nil},
		{"", fromC, seg{flags: "PA", seq: cs, ack: ss, n: 5}, "NEW", "ESTABLISHED/300 UNREPLIED", nil},
		{"", fromC, seg{flags: "FA", seq: cs, ack: ss}, "INVALID", "gone", nil},
		{"", fromC, seg{flags: "SA", seq: cs, ack: ss}, "INVALID", "gone", nil},
		{"", fromC, seg{flags: "R", seq: cs}, "INVALID", "gone", nil},
		{"", fromC, seg{flags: "RA", seq: cs, ack: ss}, "INVALID", "gone", nil},
		{"", fromC, seg{flags: "SU", seq: cs}, "NEW", "SYN_SENT/120 UNREPLIED", nil},
		{"", fromC, seg{flags: "SP", seq: cs}, "NEW", "SYN_SENT/120 UNREPLIED", nil},
		{"", fromC, seg{flags: "SEC", seq: cs}, "NEW", "SYN_SENT/120 UNREPLIED", nil},
		{"", fromC, seg{flags: "A", seq: cs, ack: ss}, "INVALID", "gone", strict},
		{"", fromC, seg{flags: "P", seq: cs}, "INVALID", "gone", nil},
		{"", fromC, seg{flags: "", seq: cs}, "INVALID", "gone", nil},

		{"picked up", fromS, seg{flags: "A", seq: ss, ack: cs}, "ESTABLISHED", "ESTABLISHED/300", nil},
		{"picked up, answered", fromC, seg{flags: "PA", seq: cs, ack: ss, n: 100}, "ESTABLISHED", "ESTABLISHED/300 ASSURED", nil},
		{"picked up", fromC, seg{flags: "R", seq: cs}, "NEW", "gone", nil},
		{"picked up", fromS, seg{flags: "SA", seq: ss - 1, ack: cs}, "ESTABLISHED", "ESTABLISHED/299", nil},
		{"picked up", fromS, seg{flags: "FA", seq: ss, ack: cs}, "ESTABLISHED", "FIN_WAIT/120", nil},

		{"SYN_SENT", fromC, seg{flags: "S", seq: cs - 1}, "NEW", "SYN_SENT/119 UNREPLIED", nil},
		{"SYN_SENT", fromC, seg{flags: "R", seq: cs}, "NEW", "gone", nil},
		{"SYN_SENT", fromC, seg{flags: "RA", seq: cs, ack: ss}, "INVALID", "", nil},
		{"SYN_SENT", fromC, seg{flags: "A", seq: cs, ack: ss}, "INVALID", "", nil},
		{"SYN_SENT", fromC, seg{flags: "FA", seq: cs, ack: ss}, "INVALID", "", nil},
		{"SYN_SENT", fromC, seg{flags: "SA", seq: cs, ack: ss}, "INVALID", "", nil},
		{"SYN_SENT", fromS, seg{flags: "FA", seq: ss, ack: cs}, "INVALID", "", nil},
		{"SYN_SENT", fromS, seg{flags: "S", seq: ss - 1}, "ESTABLISHED", "SYN_SENT2/119", nil},
		{"SYN_SENT", fromS, seg{flags: "A", seq: ss, ack: 555}, "ESTABLISHED", "SYN_SENT/119", nil},
		{"SYN_SENT, challenged", fromC, seg{flags: "R", seq: 555}, "ESTABLISHED", "CLOSE/10", nil},
		{"SYN_SENT", fromS, seg{flags: "RA", ack: cs - 1}, "ESTABLISHED", "gone", nil},
		{"SYN_SENT", fromS, seg{flags: "RA", ack: cs}, "ESTABLISHED", "gone", nil},
		{"SYN_SENT", fromS, seg{flags: "RA", ack: cs - 500}, "ESTABLISHED", "gone", nil},
		{"SYN_SENT2", fromC, seg{flags: "SA", seq: cs - 1, ack: ss}, "ESTABLISHED", "SYN_RECV/60", nil},
		{"SYN_SENT2", fromS, seg{flags: "SA", seq: ss - 1, ack: cs}, "ESTABLISHED", "SYN_RECV/60", nil},
		{"SYN_RECV", fromC, seg{flags: "A", seq: cs, ack: ss}, "ESTABLISHED", est, nil},
		{"SYN_RECV", fromS, seg{flags: "A", seq: ss, ack: cs}, "ESTABLISHED", "SYN_RECV/60", nil},
		{"SYN_RECV", fromC, seg{flags: "FA", seq: cs, ack: ss}, "ESTABLISHED", "FIN_WAIT/120", nil},
		{"SYN_RECV", fromS, seg{flags: "FA", seq: ss, ack: cs}, "ESTABLISHED", "FIN_WAIT/120", nil},

		{"ESTABLISHED", fromC, seg{flags: "S", seq: 99}, "ESTABLISHED", "", nil},
		{"ESTABLISHED", fromC, seg{flags: "S", seq: cs}, "ESTABLISHED", "", nil},
		{"foreign SYN", fromS, seg{flags: "RA", ack: 777778}, "ESTABLISHED", "CLOSE/10 ASSURED", nil},
		{"ESTABLISHED", fromS, seg{flags: "S", seq: ss}, "INVALID", "", nil},
		{"ESTABLISHED", fromC, seg{flags: "SA", seq: cs, ack: ss}, "INVALID", "", nil},
		{"ESTABLISHED", fromS, seg{flags: "SA", seq: ss - 1, ack: cs}, "ESTABLISHED", "", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss, ack: cs + 100}, "ESTABLISHED", "CLOSE/10 ASSURED", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss + 1, ack: cs + 100}, "ESTABLISHED", "ESTABLISHED/10 ASSURED", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss + 100, ack: cs + 100}, "ESTABLISHED", "ESTABLISHED/10 ASSURED", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss + 60000, ack: cs + 100}, "ESTABLISHED", "ESTABLISHED/10 ASSURED", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss - 1, ack: cs + 100}, "INVALID", "", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss - 100, ack: cs + 100}, "INVALID", "", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss + 200000, ack: cs + 100}, "INVALID", "", nil},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss - 100, ack: cs + 100}, "ESTABLISHED", "ESTABLISHED/10 ASSURED", anyRST},
		{"100 bytes acked", fromS, seg{flags: "RA", seq: ss - 100, ack: cs + 100}, "INVALID", "", liberal},
		{"server sent 50", fromS, seg{flags: "RA", seq: ss + 50, ack: cs + 100}, "ESTABLISHED", "CLOSE/10 ASSURED", nil},

		{"window 1000", fromC, seg{flags: "PA", seq: cs, ack: ss, n: 1000}, "ESTABLISHED", "ESTABLISHED/300 ASSURED", nil},
		{"window 1000", fromC, seg{flags: "PA", seq: cs + 1000, ack: ss, n: 100}, "ESTABLISHED", "ESTABLISHED/300 ASSURED", nil},
		{"window 1000", fromC, seg{flags: "PA", seq: cs + 1001, ack: ss, n: 100}, "ESTABLISHED", "", nil},
		{"window 1000", fromC, seg{flags: "PA", seq: cs + 1001, ack: ss, n: 998}, "ESTABLISHED", "", nil},
		{"window 1000", fromC, seg{flags: "PA", seq: cs + 1001, ack: ss, n: 999}, "INVALID", "", nil},
		{"window 1000", fromC, seg{flags: "PA", seq: cs + 1900, ack: ss, n: 100}, "INVALID", "", nil},
		{"window 1000", fromC, seg{flags: "PA", seq: cs + 3000, ack: ss, n: 10}, "INVALID", "", nil},
		{"window 1000", fromC, seg{flags: "A", seq: cs, ack: ss + 1}, "INVALID", "", nil},
		{"window 1000", fromC, seg{flags: "A", seq: cs, ack: ss - 66000}, "ESTABLISHED", est, nil},
		{"window 1000", fromC, seg{flags: "A", seq: cs, ack: ss - 66001}, "ESTABLISHED", "", nil},
		{"window 1000", fromC, seg{flags: "A", seq: cs - 1100, ack: ss, n: 100}, "ESTABLISHED", est, nil},
		{"window 1000", fromC, seg{flags: "A", seq: cs - 1101, ack: ss, n: 100}, "ESTABLISHED", "", nil},
		{"window 1000", fromC, seg{flags: "PA", seq: cs + 3000, ack: ss, n: 10}, "ESTABLISHED", est, liberal},
		{"window 1000", fromC, seg{flags: "A", seq: cs, ack: ss + 100}, "ESTABLISHED", est, liberal},

		{"client sent 10", fromS, seg{flags: "A", seq: ss, ack: cs + 10}, "ESTABLISHED", est, nil},
		{"client sent 10", fromS, seg{flags: "A", seq: ss, ack: cs + 9}, "ESTABLISHED", "ESTABLISHED/300 ASSURED", nil},
		{"ESTABLISHED", fromS, seg{flags: "A", seq: ss, ack: cs, win: -1}, "ESTABLISHED", "ESTABLISHED/300 ASSURED", nil},
		{"zero window", fromS, seg{flags: "A", seq: ss, ack: cs, win: 500}, "ESTABLISHED", est, nil},

		{"FIN_WAIT", fromC, seg{flags: "A", seq: cs + 1, ack: ss}, "ESTABLISHED", "CLOSE_WAIT/60 ASSURED", nil},
		{"FIN_WAIT", fromS, seg{flags: "A", seq: ss, ack: cs + 1}, "ESTABLISHED", "CLOSE_WAIT/60 ASSURED", nil},
		{"FIN_WAIT", fromC, seg{flags: "FA", seq: cs, ack: ss}, "ESTABLISHED", "LAST_ACK/30 ASSURED", nil},
		{"FIN_WAIT", fromS, seg{flags: "FA", seq: ss, ack: cs + 1}, "ESTABLISHED", "LAST_ACK/30 ASSURED", nil},
		{"CLOSE_WAIT", fromS, seg{flags: "FA", seq: ss, ack: cs + 1}, "ESTABLISHED", "LAST_ACK/30 ASSURED", nil},
		{"CLOSE_WAIT", fromC, seg{flags: "A", seq: cs + 1, ack: ss}, "ESTABLISHED", "CLOSE_WAIT/60 ASSURED", nil},
		{"LAST_ACK", fromC, seg{flags: "A", seq: cs + 1, ack: ss + 1}, "ESTABLISHED", "TIME_WAIT/120 ASSURED", nil},
		{"LAST_ACK", fromS, seg{flags: "FA", seq: ss, ack: cs + 1}, "ESTABLISHED", "LAST_ACK/30 ASSURED", nil},
		{"TIME_WAIT", fromC, seg{flags: "S", seq: cs + 500}, "NEW", "SYN_SENT/120 UNREPLIED", nil},
		{"TIME_WAIT", fromS, seg{flags: "S", seq: ss + 500}, "NEW", "SYN_SENT/120 UNREPLIED swapped", nil},
		{"CLOSE by client", fromC, seg{flags: "S", seq: cs + 500}, "NEW", "SYN_SENT/120 UNREPLIED", nil},
		{"CLOSE by server", fromC, seg{flags: "S", seq: cs + 500}, "ESTABLISHED", "", nil},
		{"ESTABLISHED", fromC, seg{flags: "P", seq: cs}, "INVALID", "", nil},
		{"ESTABLISHED", fromS, seg{flags: "", seq: ss}, "INVALID", "", nil},
	} {
		t.Run(v.start+" then "+v.side+" "+v.s.flags+" "+v.want, func(t *testing.T) {
			b := &tcpBox{newBox(t, v.conf), 0}
			b.start(v.start)
			b.sleep(second)
			want, before := v.want, b.tb.Stats().Invalid
			if want == "" {
				want = b.summary()
			}
			send := b.c
			if v.side == fromS {
				send = b.s
			}
			class := send(v.s)
			if got := b.summary(); class != v.class || got != want {
				t.Errorf("%s, %s (%s); want %s, %s", class, got, b.tb.Why(), v.class, want)
			}
			if counted := b.tb.Stats().Invalid - before; counted != 1 && class == "INVALID" || counted != 0 && class != "INVALID" {
				t.Errorf("invalid counted %d times for %s", counted, class)
			}
		})
	}
}

func TestTCPResyncsAfterAResetByTheServer(t *testing.T) {
	b := &tcpBox{newBox(t, nil), 0}
	b.start("CLOSE by server")
	for _, step := range []struct{ got, want, summary string }{
		{b.c(seg{flags: "S", seq: 9000}), "ESTABLISHED", ""},
		{b.s(seg{flags: "SA", seq: 7000, ack: 9001}), "ESTABLISHED", ""},
		{b.c(seg{flags: "A", seq: 9001, ack: 7001}), "ESTABLISHED", "ESTABLISHED/432000 ASSURED"},
	} {
		if step.got != step.want || step.summary != "" && b.summary() != step.summary {
			t.Errorf("%s, %s; want %s %s", step.got, b.summary(), step.want, step.summary)
		}
	}
}

func TestTCPRepeatedSynDoesNotRenew(t *testing.T) {
	b := &tcpBox{newBox(t, nil), 0}
	b.start("SYN_SENT")
	b.sleep(3 * second)
	b.c(seg{flags: "S", seq: cs - 1})
	if got := b.summary(); got != "SYN_SENT/117 UNREPLIED" {
		t.Error(got)
	}
}

func TestTCPThirdRepetitionShortensTheTimeout(t *testing.T) {
	b := &tcpBox{newBox(t, nil), 0}
	b.start("ESTABLISHED")
	for i, want := range []string{"432000", "432000", "300"} {
		b.c(seg{flags: "A", seq: cs, ack: ss})
		if got := b.summary(); got != "ESTABLISHED/"+want+" ASSURED" {
			t.Errorf("repetition %d: %s, want %s", i+1, got, want)
		}
	}
}

func TestTCPFlagCombinations(t *testing.T) {
	valid := map[uint8]bool{}
	for _, f := range []uint8{
		packet.TCPSyn, packet.TCPSyn | packet.TCPUrg, packet.TCPSyn | packet.TCPAck, packet.TCPRst,
		packet.TCPRst | packet.TCPAck, packet.TCPFin | packet.TCPAck, packet.TCPFin | packet.TCPAck | packet.TCPUrg,
		packet.TCPAck, packet.TCPAck | packet.TCPUrg,
	} {
		valid[f] = true
	}
	free := uint8(packet.TCPPsh | packet.TCPEce | packet.TCPCwr)
	for f := 0; f < 256; f++ {
		if got := tcpFlagsValid(uint8(f)); got != valid[uint8(f)&^free] {
			t.Errorf("flags %#x: valid %v", f, got)
		}
	}
}

func TestTCPHeaderChecks(t *testing.T) {
	ok := seg{flags: "S", seq: 1}.bytes(1, 2)
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		why    string
	}{
		{"a header of 8 bytes", func(b []byte) []byte { return b[:8] }, "short packet"},
		{"a data offset of 16 bytes", func(b []byte) []byte { b[12] = 0x40; return b }, "truncated packet"},
		{"a data offset behind the end", func(b []byte) []byte { b[12] = 0x60; return b }, "truncated packet"},
		{"no flags", func(b []byte) []byte { b[13] = 0; return b }, "invalid tcp flag combination"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t, nil)
			p := ip(t, client4, server4, packet.TCP, c.change(append([]byte(nil), ok...)))
			p.FixL4Checksum()
			var ref Ref
			if out := b.tb.Track(p, nil, &ref, 0, true, b.now); !out.OK || ref.State() != StateInvalid || b.tb.Why() != c.why {
				t.Errorf("%v %v %q, want INVALID %q", out, ref.State(), b.tb.Why(), c.why)
			}
			if b.tb.Stats().Invalid != 1 || b.tb.Len() != 0 {
				t.Errorf("stats %+v, %d entries", b.tb.Stats(), b.tb.Len())
			}
		})
	}
}

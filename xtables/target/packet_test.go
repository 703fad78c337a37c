package target_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/internal/exttest"
)

// do parses a rule, runs its target and says what was decided.
func do(t testing.TB, f packet.Family, table, text string, tr *hook.Traversal) xtables.Code {
	t.Helper()
	r, err := exttest.Parse(list(), f, table, "FORWARD", text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r.Target.Do(tr)
}

func tcp(t testing.TB, f packet.Family, flags uint8, options, data string) *packet.Packet {
	return exttest.Packet(t, f, packet.TCP, exttest.TCP(1024, 80, flags, exttest.Bytes(options), []byte(data)))
}

const syn = packet.TCPSyn

// TestHeaderTargets changes a packet and looks at its layer-4 header, or at its
// TTL and TOS; checksums must be right afterwards.
func TestHeaderTargets(t *testing.T) {
	v4, v6 := packet.IPv4, packet.IPv6
	for _, c := range []struct {
		name, rule string
		f          packet.Family
		p          *packet.Packet
		at         int // offset behind the IP header; -1 TTL, -2 TOS
		want       string
	}{
		{"a larger mss is lowered", "-p tcp --syn -j TCPMSS --set-mss 1400", v4, tcp(t, v4, syn, "02 04 05b4", ""), 20, "02040578"},
		{"a smaller mss stays", "-p tcp --syn -j TCPMSS --set-mss 1500", v4, tcp(t, v4, syn, "02 04 05b4", ""), 20, "020405b4"},
		{"the option is found behind others", "-p tcp --syn -j TCPMSS --set-mss 1000", v6, tcp(t, v6, syn, "04 02 01 01 02 04 05b4", ""), 20, "04020101020403e8"},
		{"a missing mss is added, at most 536", "-p tcp --syn -j TCPMSS --set-mss 1400", v4, tcp(t, v4, syn, "", ""), 20, "02040218"},
		{"a missing mss is added before other options", "-p tcp --syn -j TCPMSS --set-mss 100", v6, tcp(t, v6, syn, "01 01 04 02", ""), 20, "0204006401010402"},
		{"nothing is added before data", "-p tcp --syn -j TCPMSS --set-mss 100", v4, tcp(t, v4, syn, "01 01 04 02", "xx"), 20, "010104027878"},
		{"options are blanked", "-p tcp -j TCPOPTSTRIP --strip-options 2,4", v4, tcp(t, v4, syn, "02 04 05b4 01 01 04 02", ""), 20, "0101010101010101"},
		{"ttl is set", "-j TTL --ttl-set 0", v4, tcp(t, v4, syn, "", ""), -1, "00"},
		{"ttl stops at 255", "-j TTL --ttl-inc 250", v4, tcp(t, v4, syn, "", ""), -1, "ff"},
		{"ttl stops at 0", "-j TTL --ttl-dec 65", v4, tcp(t, v4, syn, "", ""), -1, "00"},
		{"hop limit goes down", "-j HL --hl-dec 1", v6, tcp(t, v6, syn, "", ""), -1, "3f"},
		{"dscp leaves ecn alone", "-j DSCP --set-dscp 46", v6, withTOS(tcp(t, v6, syn, "", ""), 3), -2, "bb"},
		{"tos under a mask", "-j TOS --set-tos 0x10/0x30", v4, withTOS(tcp(t, v4, syn, "", ""), 0xff), -2, "df"},
		{"ect is cleared", "-j ECN --ecn-ip-ect 0", v4, withTOS(tcp(t, v4, syn, "", ""), 0x13), -2, "10"},
		{"tcp flags of ecn are cleared", "-p tcp -j ECN --ecn-tcp-remove", v4, tcp(t, v4, syn|packet.TCPEce|packet.TCPCwr, "", ""), 13, "02ffff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, _ := exttest.Walk(c.p, hook.Forward)
			if code := do(t, c.f, "mangle", c.rule, tr); code != xtables.Continue {
				t.Fatalf("code %d", code)
			}
			p := tr.Pkt
			b := []byte{p.TTL()}
			switch c.at {
			case -1:
			case -2:
				b[0] = p.TOS()
			default:
				b = p.Data[p.L4+c.at:]
			}
			if got := hex.EncodeToString(b); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
			if !p.L4ChecksumOK() || p.Family == packet.IPv4 && packet.Checksum(p.Data[:20]) != 0 {
				t.Error("a checksum is wrong")
			}
			q := &packet.Packet{}
			if err := packet.Parse(p.Data, q); err != nil || q.Len() != p.Len() {
				t.Errorf("does not parse any more: %v", err)
			}
		})
	}
}

func withTOS(p *packet.Packet, v uint8) *packet.Packet {
	p.SetTOS(v)
	return p
}

func TestRejectAnswersWhereLinuxDoes(t *testing.T) {
	v4, v6 := packet.IPv4, packet.IPv6
	broken := func(p *packet.Packet) *packet.Packet {
		p.Data[len(p.Data)-1] ^= 1
		return p
	}
	for _, c := range []struct {
		name, rule string
		f          packet.Family
		p          *packet.Packet
		want       string
	}{
		{"port unreachable is the default", "-j REJECT", v4, tcp(t, v4, syn, "", "x"), "icmp 3/03"},
		{"IPv6 has its own codes", "-j REJECT", v6, tcp(t, v6, syn, "", "x"), "icmp 1/04"},
		{"a type by its abbreviation", "-j REJECT --reject-with admin", v4, tcp(t, v4, syn, "", "x"), "icmp 3/0d"},
		{"no answer to a wrong checksum", "-j REJECT", v4, broken(tcp(t, v4, syn, "", "x")), ""},
		{"no answer to a later fragment", "-j REJECT", v4, exttest.Fragment(tcp(t, v4, syn, "", "x"), 64), ""},
		{"no answer to an unknown protocol that does not sum up", "-j REJECT", v4, exttest.Packet(t, v4, 253, []byte("abcd")), ""},
		{"SCTP has another checksum and is answered", "-j REJECT", v4, exttest.Packet(t, v4, packet.SCTP, make([]byte, 16)), "icmp 3/03"},
		{"a reset for a syn", "-p tcp -j REJECT --reject-with tcp-reset", v4, tcp(t, v4, syn, "", ""), "reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, env := exttest.Walk(c.p, hook.Forward)
			if code := do(t, c.f, "filter", c.rule, tr); code != xtables.Drop || tr.Why != hook.ReasonReject {
				t.Errorf("code %d, why %v", code, tr.Why)
			}
			if got := strings.Join(env.Sent, " "); got != c.want {
				t.Errorf("sent %q, want %q", got, c.want)
			}
		})
	}
}

func TestMarksAndTracking(t *testing.T) {
	tr, _ := exttest.Walk(tcp(t, packet.IPv4, syn, "", ""), hook.Forward)
	tr.Mark = 0xff
	do(t, packet.IPv4, "mangle", "-j MARK --set-xmark 0x3/0xf0", tr)
	if tr.Mark != 0x0c {
		t.Errorf("mark is %#x", tr.Mark)
	}
	do(t, packet.IPv4, "mangle", "-j CLASSIFY --set-class 1:a", tr)
	if tr.Priority != 0x1000a {
		t.Errorf("class is %#x", tr.Priority)
	}
	in, err := exttest.Parse(list(), packet.IPv4, "raw", "PREROUTING", "-j CT --zone-reply 7")
	if err != nil {
		t.Fatal(err)
	}
	in.Target.Do(tr)
	if tr.Template == nil || tr.Template.ZoneID != 7 || tr.Template.ZoneDir != conntrack.ZoneReply {
		t.Errorf("template %+v", tr.Template)
	}
	no, err := exttest.Parse(list(), packet.IPv4, "raw", "PREROUTING", "-j CT --notrack")
	if err != nil {
		t.Fatal(err)
	}
	if no.Target.Do(tr); tr.CT.Untracked() {
		t.Error("a packet with a template was taken out of tracking")
	}
	tr.Template, tr.CT = nil, conntrack.Ref{}
	if no.Target.Do(tr); !tr.CT.Untracked() {
		t.Error("the packet is still tracked")
	}
	if code := do(t, packet.IPv4, "filter", "-j NFQUEUE --queue-num 3 --queue-bypass", tr); code != xtables.Queue ||
		tr.QueueNum != 3 || !tr.QueueBypass {
		t.Errorf("code %d, queue %d", code, tr.QueueNum)
	}
}

// The first line was written by Linux 6.18 for this packet.
func TestLogLine(t *testing.T) {
	p := &packet.Packet{}
	data := exttest.Bytes("4500002c 2fa40000 40060000 0a4d0102 0a4d0202" +
		"0001 0002 00000064 00000000 60c2 ffff 0000 0000 020405b4")
	sum := packet.IPv4HeaderChecksum(data[:20])
	data[10], data[11] = byte(sum>>8), byte(sum)
	if err := packet.Parse(data, p); err != nil {
		t.Fatal(err)
	}
	p.Link = packet.Link{HasMAC: true, Proto: 0x800,
		Dst: [6]byte{0x16, 0x7b, 0x24, 0xe9, 0x9b, 0xf2}, Src: [6]byte{0xca, 0xe1, 0x2e, 0x24, 0xec, 0x8c}}
	tr, env := exttest.Walk(p, hook.Prerouting)
	tr.In, tr.Out = &iface.Iface{Name: "r1"}, nil
	do(t, packet.IPv4, "filter", `-j LOG --log-prefix "PFX " --log-tcp-sequence --log-tcp-options`, tr)
	tr.Mark = 0x10
	do(t, packet.IPv4, "filter", "-j LOG --log-macdecode", tr)
	want := []string{
		"PFX IN=r1 OUT= MAC=16:7b:24:e9:9b:f2:ca:e1:2e:24:ec:8c:08:00 SRC=10.77.1.2 DST=10.77.2.2 LEN=44 " +
			"TOS=0x00 PREC=0x00 TTL=64 ID=12196 PROTO=TCP SPT=1 DPT=2 SEQ=100 ACK=0 WINDOW=65535 RES=0x00 " +
			"CWR ECE SYN URGP=0 OPT (020405B4) ",
		"IN=r1 OUT= MACSRC=ca:e1:2e:24:ec:8c MACDST=16:7b:24:e9:9b:f2 MACPROTO=0800 SRC=10.77.1.2 DST=10.77.2.2 " +
			"LEN=44 TOS=0x00 PREC=0x00 TTL=64 ID=12196 PROTO=TCP SPT=1 DPT=2 WINDOW=65535 RES=0x00 CWR ECE SYN " +
			"URGP=0 MARK=0x10 ",
	}
	for i, w := range want {
		if i >= len(env.Lines) || env.Lines[i] != w {
			t.Errorf("got  %q\nwant %q", env.Lines, w)
			break
		}
	}
}

package line

import (
	"encoding/hex"
	"testing"
	"time"

	"weir/packet"
	"weir/trace/render"
)

func TestLines(t *testing.T) {
	for _, c := range []struct {
		line    string
		in      string
		summary []string
	}{
		{"lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S seq=1 win=65535 mss=1460", "lan0",
			[]string{"tcp 192.0.2.10:4000 > 198.51.100.1:443 [S]"}},
		{"lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 SAF. ts=1:2 sack=5-6 ws=7 sackok len=100", "lan0",
			[]string{"tcp 192.0.2.10:4000 > 198.51.100.1:443 [FS.] len 100"}},
		{"lan0 tcp [2001:db8::1]:1 > [2001:db8::2]:2 none", "lan0",
			[]string{"tcp [2001:db8::1]:1 > [2001:db8::2]:2 [none]"}},
		{`wan0 udp 192.0.2.10:53 > 198.51.100.1:53 data="hello there" ttl=1 df tos=0x10 id=7`, "wan0",
			[]string{"udp 192.0.2.10:53 > 198.51.100.1:53 len 11"}},
		{"lan0 icmp 192.0.2.1 > 192.0.2.2 echo id=7 seq=9 len=56", "lan0",
			[]string{"icmp 192.0.2.1 > 192.0.2.2 echo request id 7 seq 9"}},
		{"lan0 icmp6 2001:db8::1 > 2001:db8::2 echo-reply id=7 seq=9", "lan0",
			[]string{"icmp6 2001:db8::1 > 2001:db8::2 echo reply id 7 seq 9"}},
		{"wan0 icmp 203.0.113.1 > 192.0.2.2 frag-needed mtu=1400 [tcp 192.0.2.2:4000 > 198.51.100.1:80 A len=1400]", "wan0",
			[]string{"icmp 203.0.113.1 > 192.0.2.2 frag needed mtu 1400 (tcp 192.0.2.2:4000 > 198.51.100.1:80 [.] len 1400)"}},
		{"wan0 icmp 203.0.113.1 > 192.0.2.2 port-unreachable quote=28 [udp 192.0.2.2:4000 > 198.51.100.1:80 len=1400]", "wan0",
			[]string{"icmp 203.0.113.1 > 192.0.2.2 port unreachable (udp 192.0.2.2:4000 > 198.51.100.1:80)"}},
		{"wan0 icmp 203.0.113.1 > 192.0.2.2 99/3", "wan0", []string{"icmp 203.0.113.1 > 192.0.2.2 type 99 code 3"}},
		{"lan0 sctp 192.0.2.1:1 > 192.0.2.2:2 init itag=5", "lan0", []string{"sctp 192.0.2.1:1 > 192.0.2.2:2 [INIT]"}},
		{"lan0 gre 192.0.2.1 > 192.0.2.2 key=5 len=4", "lan0", []string{"gre 192.0.2.1 > 192.0.2.2 len 12"}},
		{"lan0 proto=50 192.0.2.1 > 192.0.2.2 hex=0011", "lan0", []string{"esp 192.0.2.1 > 192.0.2.2 len 2"}},
		{"lan0 udp 192.0.2.1:1 > 192.0.2.2:2 len=40 frag=9/24", "lan0", []string{
			"udp 192.0.2.1:1 > 192.0.2.2:2 len 16 frag 9:0+", "udp 192.0.2.1 > 192.0.2.2 frag 9:24",
		}},
		{"lan0 udp [2001:db8::1]:1 > [2001:db8::2]:2 len=40 frag=9/24", "lan0", []string{
			"udp [2001:db8::1]:1 > [2001:db8::2]:2 len 16 frag 9:0+", "udp 2001:db8::1 > 2001:db8::2 frag 9:24",
		}},
		{"lan0 udp 192.0.2.1:1 > 192.0.2.2:2 len=16 frag=9:1480:last", "lan0", []string{"udp 192.0.2.1 > 192.0.2.2 frag 9:1480"}},
		{"lan0 udp [2001:db8::1]:1 > [2001:db8::2]:2 hbh=0502 dst= len=1", "lan0", []string{"udp [2001:db8::1]:1 > [2001:db8::2]:2 len 1"}},
		{"local raw 4500001c 0000 0000 40110000c0000201c00002020001000200080000 # a comment", "local",
			[]string{"udp 192.0.2.1:1 > 192.0.2.2:2"}},
		{"lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S trunc=30", "lan0",
			[]string{"tcp 192.0.2.10:4000 > 198.51.100.1:443 tcp header cut off cut off"}},
	} {
		t.Run(c.line, func(t *testing.T) {
			p, err := Parse(c.line)
			if err != nil {
				t.Fatal(err)
			}
			if p.In != c.in || len(p.Data) != len(c.summary) {
				t.Fatalf("in %s, %d packets", p.In, len(p.Data))
			}
			for i, want := range c.summary {
				if got := render.Summary(p.Data[i]); got != want {
					t.Errorf("got  %s\nwant %s\n%x", got, want, p.Data[i])
				}
			}
		})
	}
}

func TestWhatIsBuiltIsRight(t *testing.T) {
	for _, l := range []string{
		"lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S mss=1460 len=33",
		"lan0 tcp [2001:db8::1]:4000 > [2001:db8::2]:443 S mss=1460 len=33",
		"lan0 udp 192.0.2.10:4000 > 198.51.100.1:443 len=7 opt=01010101",
		"lan0 udplite 192.0.2.10:4000 > 198.51.100.1:443 len=7",
		"lan0 icmp 192.0.2.10 > 198.51.100.1 echo len=7",
		"lan0 icmp6 2001:db8::1 > 2001:db8::2 echo len=7 hbh=",
		"lan0 sctp [2001:db8::1]:4000 > [2001:db8::2]:443 data len=7",
	} {
		p, err := Parse(l)
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		var k packet.Packet
		if err := packet.Parse(p.Data[0], &k); err != nil || !k.L4ChecksumOK() {
			t.Errorf("%s: %v, checksum %v: %x", l, err, k.L4ChecksumOK(), p.Data[0])
		}
		bad, err := Parse(l + " badsum")
		if err != nil {
			t.Fatalf("%s badsum: %v", l, err)
		}
		if err := packet.Parse(bad.Data[0], &k); err != nil || k.L4ChecksumOK() {
			t.Errorf("%s badsum: %v, checksum is right", l, err)
		}
	}
	p, err := Parse("lan0 udp 192.0.2.10:4000 > 198.51.100.1:443 badipsum")
	var k packet.Packet
	if err != nil || packet.Parse(p.Data[0], &k) == nil {
		t.Error("badipsum: the header checksum is right")
	}
}

func TestTCPBytes(t *testing.T) {
	p, err := Parse("lan0 tcp 192.0.2.1:1 > 192.0.2.2:2 SE seq=0x01020304 ack=5 win=6 urg=7 mss=1460 ws=3 id=0x1234 tos=3 ttl=9 df")
	if err != nil {
		t.Fatal(err)
	}
	want := "45030030123440000906" + "db8a" + "c0000201c0000202" +
		"00010002" + "01020304" + "00000005" + "7042" + "0006" + "b2e0" + "0007" + "020405b4" + "03030300"
	got := hex.EncodeToString(p.Data[0])
	// The two checksums are judged by TestWhatIsBuiltIsRight.
	if got[:20] != want[:20] || got[24:72] != want[24:72] || got[76:] != want[76:] {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTimeAndLink(t *testing.T) {
	p, err := Parse("+2.5s eth0 udp 192.0.2.1:1 > 192.0.2.255:2 smac=02:00:00:00:00:01 dmac=ff:ff:ff:ff:ff:ff link=broadcast")
	if err != nil || p.After != 2500*time.Millisecond || !p.Link.HasMAC || p.Link.Src[5] != 1 || p.Link.Type != packet.ToBroadcast {
		t.Errorf("%+v %v", p, err)
	}
}

func TestErrorsHaveAColumn(t *testing.T) {
	for _, c := range []struct {
		line string
		col  int
		msg  string
	}{
		{"", 1, "expected the interface by which the packet arrives, or local"},
		{"+x lan0", 1, `"+x" is not a time, as +2.5s, +30ms, +5m`},
		{"lan0 ", 6, "expected a protocol: tcp, udp, icmp, icmp6, sctp, gre, proto=N, raw"},
		{"lan0 tpc 192.0.2.1:1 > 192.0.2.2:2", 6, `"tpc" is not a protocol: tcp, udp, icmp, icmp6, sctp, gre, proto=N, raw`},
		{"lan0 tcp 192.0.2.1 > 192.0.2.2:2", 10, "tcp needs ports: 192.0.2.1:80"},
		{"lan0 tcp 2001:db8::1 > 192.0.2.2:2", 10, "tcp needs ports: [2001:db8::1]:80"},
		{"lan0 icmp 192.0.2.1 > 2001:db8::1 echo", 23, "source and destination are of different families"},
		{"lan0 icmp 192.0.2.1:7 > 192.0.2.2 echo", 11, "icmp has no ports"},
		{"lan0 tcp 192.0.2.1:1 - 192.0.2.2:2", 22, "expected > between source and destination"},
		{"lan0 tcp 192.0.2.1:1 > 192.0.2.2:2 SX", 37, "'X' is not a TCP flag (S A F R P U E C, or none)"},
		{"lan0 tcp 192.0.2.1:1 > 192.0.2.2:2 S win=70000", 42, `"70000" is not a number of 16 bits`},
		{"lan0 udp 192.0.2.1:1 > 192.0.2.2:2 win=7", 36, "udp has no win="},
		{"lan0 udp 192.0.2.1:1 > 192.0.2.2:2 [", 36, "a [ without a ]"},
		{"lan0 icmp 192.0.2.1 > 192.0.2.2 port-unreachable [udp 192.0.2.1:1 > 192.0.2.2:x]", 69, `"192.0.2.2:x" is not an address with a port`},
		{"lan0 udp 192.0.2.1:1 > 192.0.2.2:2 frag=7:9:more", 41, `"7:9:more" is neither ID:OFFSET:more nor ID:OFFSET:last (OFFSET in bytes, a multiple of 8) nor ID/SIZE`},
		{"lan0 raw 45zz", 10, `"45zz" is not a row of hex bytes`},
		{`lan0 udp 192.0.2.1:1 > 192.0.2.2:2 data="x`, 36, "a quotation without an end"},
		{"lan0 icmp 192.0.2.1 > 192.0.2.2", 1, "icmp needs a message: echo, echo-reply, port-unreachable, …, or TYPE/CODE"},
		{"lan0 udp [2001:db8::1]:1 > [2001:db8::2]:2 df", 44, "IPv6 has no df: nobody but the sender cuts"},
	} {
		t.Run(c.line, func(t *testing.T) {
			_, err := Parse(c.line)
			e, ok := err.(*Error)
			if !ok || e.Col != c.col || e.Msg != c.msg {
				t.Errorf("got %v, want column %d: %s", err, c.col, c.msg)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("+1s lan0 icmp 192.0.2.1 > 192.0.2.2 3/1 [udp 192.0.2.1:1 > 192.0.2.2:2 len=9 opt=00] quote=28 ttl=1")
	f.Add("lan0 tcp [2001:db8::1]:1 > [2001:db8::2]:2 SA mss=1 topt=0101 hbh=00 frag=1/8")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Col < 1 {
				t.Fatalf("%v has no column", err)
			}
			return
		}
		for _, d := range p.Data {
			render.Summary(d)
		}
	})
}

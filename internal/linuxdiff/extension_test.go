package linuxdiff

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/hook"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
)

// The machine of these tests: 192.0.2.0/24 and 2001:db8:1::/64 behind lan0,
// everything else behind wan0.
func extensionMachine() gen.Machine {
	return gen.Machine{
		Ifaces: []kernel.Iface{
			{Name: "lan0", MTU: 1500, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:1::1/64")}},
			{Name: "wan0", MTU: 1500, Addrs: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("2001:db8:2::1/64")}},
		},
		Routes: []kernel.Route{
			{To: netip.MustParsePrefix("203.0.113.0/24"), Dev: "wan0"},
			{To: netip.MustParsePrefix("2001:db8:3::/64"), Dev: "wan0"},
		},
		Sysctl: map[string]string{},
	}
}

func host(v6 bool, lan bool, n int) netip.Addr {
	switch {
	case v6 && lan:
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%x", n))
	case v6:
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:2::%x", n))
	case lan:
		return netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", n))
	}
	return netip.MustParseAddr(fmt.Sprintf("198.51.100.%d", n))
}

// ipOf is a packet from the LAN to the other side.
func ipOf(v6 bool, proto uint8, body []byte) []byte {
	return wire.IP{Src: host(v6, true, 10), Dst: host(v6, false, 10), Proto: proto, TTL: 64}.Packet(body)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// mutants are the packets, and n more that differ from one of them in a few
// bytes behind the addresses or are cut off.
func mutants(v6 bool, base [][]byte, n int) [][]byte {
	r := rand.New(rand.NewPCG(1, uint64(len(base))))
	head := 20
	if v6 {
		head = 40
	}
	list := base
	for range n {
		p := append([]byte(nil), base[r.IntN(len(base))]...)
		if len(p) > head && r.IntN(3) == 0 {
			p = p[:head+r.IntN(len(p)-head)]
		}
		for range r.IntN(3) {
			if len(p) > head {
				at := head + r.IntN(len(p)-head)
				switch r.IntN(3) {
				case 0:
					p[at] = byte(r.IntN(256))
				case 1:
					p[at] = [...]byte{0, 1, 4, 255, 6, 17, 43, 44, 51, 60}[r.IntN(10)]
				default:
					p[at] ^= 1 << r.IntN(8)
				}
			}
		}
		if v6 {
			p[4], p[5] = byte((len(p)-40)>>8), byte(len(p)-40)
		} else {
			p[2], p[3] = byte(len(p)>>8), byte(len(p))
			wire.FixIP(p)
		}
		list = append(list, p)
	}
	return list
}

// differ runs packets through both and compares the rules that matched, what
// left and the events. Rules are of the family of the packets.
func differ(t *testing.T, k *kernel.Kernel, v6 bool, rules string, packets []gen.Packet) {
	t.Helper()
	c := &gen.Case{Machine: extensionMachine(), Seed: 1}
	if v6 {
		c.Rules6 = rules
	} else {
		c.Rules4 = rules
	}
	w, err := newSubject(c, BySeed)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Reload(c.Rules4, c.Rules6); err != nil {
		t.Fatal(err)
	}
	if err := k.Flush(); err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		var res kernel.Result
		if p.In == gen.Local {
			res, err = k.SendLocal(p.Data, 0)
		} else {
			res, err = k.Inject(p.In, p.Data)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.follow(p.Data, &res)
		now := time.Now().UnixNano()
		got := engine.Result{}
		if p.In == gen.Local {
			// The kernel's packets come from a socket of root.
			w.now, w.events = now, w.events[:0]
			got = w.m.Send(append([]byte(nil), p.Data...), &hook.Owner{}, now)
		} else {
			got = w.run(p, now)
		}
		if strings.Contains(rules, "-A PREROUTING -j DROP\n") {
			// How the machine answers broken headers is not asked here, and
			// the kernel limits how often it does.
			res.Out, got.Out = nil, nil
		}
		res.Trace = slices.DeleteFunc(res.Trace, func(l string) bool {
			table, _, _ := strings.Cut(l, ":")
			return !strings.Contains(rules, "*"+table+"\n")
		})
		if d := packetDifference(p.Data, &res, &got, w, false); d != nil {
			d.Packet = i
			t.Errorf("%s\n%v\npacket %x", rules, d, p.Data)
			return
		}
	}
}

func extensionKernel(t *testing.T) *kernel.Kernel {
	t.Helper()
	needKernel(t)
	m := extensionMachine()
	cfg := m.Config()
	cfg.Trace = true
	k, err := kernel.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// TestHeaderMatchesAsLinux asks each rule about whole, broken and cut packets
// in raw PREROUTING, where nothing has looked at them before.
func TestHeaderMatchesAsLinux(t *testing.T) {
	k := extensionKernel(t)
	for _, g := range headerGroups() {
		t.Run(g.name, func(t *testing.T) {
			n := 400
			if testing.Short() {
				n = 60
			}
			var list []gen.Packet
			for _, p := range mutants(g.v6, g.packets, n) {
				list = append(list, gen.Packet{In: "lan0", Data: p})
			}
			for _, r := range g.rules {
				differ(t, k, g.v6, "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j TRACE\n-A PREROUTING "+r+
					"\n-A PREROUTING -j DROP\nCOMMIT\n", list)
			}
		})
	}
}

// TestOwnerAndTimeAsLinux asks about the socket behind a packet and about now.
func TestOwnerAndTimeAsLinux(t *testing.T) {
	k := extensionKernel(t)
	var rules []string
	for _, r := range []string{"--uid-owner 0", "! --uid-owner 0", "--uid-owner 1-5", "--uid-owner 0-5 --gid-owner 0", "! --gid-owner 7", "--gid-owner 7 --uid-owner 0", "--socket-exists", "! --socket-exists", "! --uid-owner 7 --socket-exists"} {
		rules = append(rules, "-m owner "+r)
	}
	for _, d := range []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
		rules = append(rules, "-m time --weekdays "+d, "-m time ! --weekdays "+d, "-m time --weekdays "+d+" --timestart 18:00 --timestop 17:00 --contiguous", "-m time --weekdays "+d+" --timestart 18:00 --timestop 17:00")
	}
	for d := 1; d <= 31; d++ {
		rules = append(rules, fmt.Sprintf("-m time --monthdays %d", d))
	}
	for h := range 24 {
		rules = append(rules, fmt.Sprintf("-m time --timestart %02d:00 --timestop %02d:59:59", h, h), fmt.Sprintf("-m time --timestart %02d:30 --timestop %02d:30", h, (h+7)%24), fmt.Sprintf("-m time --kerneltz --timestop %02d:15", h))
	}
	src, dst := netip.MustParseAddr("198.51.100.1"), host(false, false, 10)
	p := gen.Packet{In: gen.Local, Data: wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64, ID: 7}.Packet(wire.Datagram(17, src, dst, 5000, 53, []byte("x")))}
	differ(t, k, false, "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j TRACE\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT "+
		strings.Join(rules, "\n-A OUTPUT ")+"\nCOMMIT\n", []gen.Packet{p})
}

type headerGroup struct {
	name    string
	v6      bool
	packets [][]byte
	rules   []string
}

func headerGroups() []headerGroup {
	frag := func(off uint16, body string) []byte {
		return ipOf(true, 44, append([]byte{17, 0, byte(off >> 8), byte(off), 0, 0, 0, 7}, unhex(body)...))
	}
	udp6 := "0035 0050 000c 0000 61626364"
	sctp := func(chunks string) []byte { return ipOf(false, 132, unhex("0400 0050 00000001 00000000"+chunks)) }
	dccp := func(v6 bool, typ int, opts string) []byte {
		o := unhex(opts)
		h := unhex("0400 0050 00 00 0000 00 000001 00000000 00000000")
		h[4], h[8] = byte(len(h)+len(o))/4, byte(typ)<<1|1
		return ipOf(v6, 33, append(h, o...))
	}
	srh := func(left, last int, tag string) []byte {
		h := append([]byte{17, byte(2 * (last + 1)), 4, byte(left), byte(last), 0}, unhex(tag)...)
		for i := 0; i <= last; i++ {
			s := host(true, false, 0x20+i).As16()
			h = append(h, s[:]...)
		}
		return ipOf(true, 43, append(h, unhex(udp6)...))
	}
	data := "GET /index.html HTTP/1.1 needle in a Needle haystack NEEDLE"
	udp := func(v6 bool, sport, dport uint16, body string) []byte {
		return ipOf(v6, 17, wire.Datagram(17, host(v6, true, 10), host(v6, false, 10), sport, dport, []byte(body)))
	}
	return []headerGroup{
		{"fragment header", true, [][]byte{frag(0, udp6), frag(1, udp6), frag(8, udp6), frag(9, udp6), frag(0x42, udp6), ipOf(true, 17, unhex(udp6)),
			ipOf(true, 0, append(unhex("2c00 0502 0000 0100"), unhex("1100 0001 00000009"+udp6)...))}, []string{
			"-m frag --fragid 7", "-m frag ! --fragid 7", "-m frag --fragid 5:9", "-m frag --fragres", "-m frag --fragfirst", "-m frag --fragmore", "-m frag --fraglast",
			"-m frag --fraglen 8", "-m frag --fragid 0:4294967295 --fragfirst --fragmore"}},
		{"hop-by-hop options", true, [][]byte{ipOf(true, 0, append(unhex("1100 0502 0000 0100"), unhex(udp6)...)), ipOf(true, 0, append(unhex("1101 0502 0000 c206 0102 03040506 0000"), unhex(udp6)...)),
			ipOf(true, 17, unhex(udp6))}, []string{
			"-m hbh --hbh-len 8", "-m hbh ! --hbh-len 8", "-m hbh --hbh-opts 5", "-m hbh --hbh-opts 5:2", "-m hbh --hbh-len 8 --hbh-opts 5,0", "-m hbh --hbh-opts 5:2,1:0", "-m hbh ! --hbh-len 16 --hbh-opts 194", "-m hbh --hbh-opts 5:2,194:6"}},
		{"destination options", true, [][]byte{ipOf(true, 60, append(unhex("1100 0502 0000 0100"), unhex(udp6)...)), ipOf(true, 60, append(unhex("1101 0502 0000 c206 0102 03040506 0000"), unhex(udp6)...)),
			ipOf(true, 60, unhex("3c00 0104 00000000 1100 0104 00000000"+udp6)), ipOf(true, 43, unhex("3c00 0000 00000000 1100 0104 00000000"+udp6)), ipOf(true, 17, unhex(udp6))}, []string{
			"-m dst --dst-len 8", "-m dst ! --dst-len 8", "-m dst --dst-opts 5", "-m dst --dst-opts 1", "-m dst --dst-opts 5:2,1:0", "-m dst --dst-opts 1:4"}},
		{"routing header", true, [][]byte{ipOf(true, 43, unhex("1102 0001 00000000 20010db8000200000000000000000099"+udp6)), ipOf(true, 43, unhex("1104 0000 00000000 20010db8000200000000000000000099 20010db8000200000000000000000098"+udp6)),
			ipOf(true, 43, unhex("1100 0300 00000000"+udp6)), ipOf(true, 17, unhex(udp6))}, []string{
			"-m rt --rt-type 0", "-m rt ! --rt-type 0", "-m rt --rt-segsleft 1", "-m rt --rt-segsleft 0:1", "-m rt ! --rt-segsleft 1:255", "-m rt --rt-len 24", "-m rt ! --rt-len 24", "-m rt --rt-type 0 --rt-0-res",
			"-m rt --rt-type 0 --rt-0-addrs 2001:db8:2::99", "-m rt --rt-type 0 --rt-0-addrs 2001:db8:2::99,2001:db8:2::98", "-m rt --rt-type 0 --rt-0-addrs 2001:db8:2::98 --rt-0-not-strict", "-m rt --rt-type 0 --rt-0-addrs 2001:db8:2::99 --rt-0-not-strict"}},
		{"segment routing header", true, [][]byte{srh(1, 1, "0005"), srh(0, 2, "0000"), srh(2, 2, "ffff"), ipOf(true, 17, unhex(udp6)), ipOf(true, 0, append(unhex("2b00 0502 0000 0100"), srh(1, 2, "0001")[40:]...))}, []string{
			"-m srh --srh-next-hdr 17", "-m srh ! --srh-next-hdr 17", "-m srh --srh-hdr-len-eq 4", "-m srh --srh-hdr-len-gt 4", "-m srh ! --srh-hdr-len-lt 5", "-m srh --srh-segs-left-eq 1", "-m srh --srh-segs-left-gt 0", "-m srh --srh-segs-left-lt 2",
			"-m srh --srh-last-entry-eq 2", "-m srh ! --srh-last-entry-gt 1", "-m srh --srh-last-entry-lt 2", "-m srh --srh-tag 5", "-m srh ! --srh-tag 0", "-m srh",
			"-m srh --srh-psid 2001:db8:2::21/128", "-m srh ! --srh-psid 2001:db8:2::22/128", "-m srh --srh-nsid 2001:db8:2::20", "-m srh ! --srh-nsid 2001:db8:2::20/124", "-m srh --srh-lsid 2001:db8:2::20", "-m srh ! --srh-lsid ff::/8"}},
		{"mobility header", true, [][]byte{ipOf(true, 135, unhex("3b01 0500 0000 0000 0000 0000 0000 0000")), ipOf(true, 135, unhex("3b00 0000 0000 0000")), ipOf(true, 135, unhex("1100 0100 0000 0000")), ipOf(true, 17, unhex(udp6))}, []string{
			"-p mh -m mh --mh-type 5", "-p mh -m mh ! --mh-type 5", "-p mh -m mh --mh-type 0:3", "-p mh -m mh --mh-type cot", "-p mh -m mh --mh-type binding-update"}},
		{"kinds of headers", true, [][]byte{frag(0, udp6), frag(8, udp6), ipOf(true, 0, append(unhex("3c00 0502 0000 0100 2b00 0104 00000000 1100 0300 00000000"), unhex(udp6)...)), ipOf(true, 51, unhex("1104 0000 00000001 00000001 000000000000000000000000"+udp6)),
			ipOf(true, 50, unhex("00000001 00000002 0000000000000000")), ipOf(true, 59, nil), ipOf(true, 60, unhex("3b00 0104 00000000")), ipOf(true, 17, unhex(udp6))}, []string{
			"-m ipv6header --header hop", "-m ipv6header --header frag --soft", "-m ipv6header --header prot --soft", "-m ipv6header --header prot", "-m ipv6header ! --header prot --soft", "-m ipv6header --header none", "-m ipv6header --header esp --soft", "-m ipv6header --header auth,prot", "-m ipv6header --header hop,dst,route,prot",
			"-m ipv6header --header dst --soft", "-m ah --ahspi 1", "-m ah ! --ahspi 1 --ahlen 24", "-m ah --ahlen 24 --ahres", "-p esp -m esp --espspi 1", "-p udp -m udp --sport 53", "-m eui64", "-m length --length 52:60"}},
		{"SCTP", false, [][]byte{sctp("0100 0014 00000001 00010000 0001 0001 00000001"), sctp("0003 0014 00000001 0000 0000 00000000 61626364"), sctp("0300 0010 00000001 00010000 00000000 0003 0014 00000001 0000 0000 00000000 61626364"),
			sctp("0600 0004"), sctp("0e01 0004"), sctp("0001 0011 00000001 0000 0000 00000000 61000000 0300 0010 00000001 00010000 00000000"), sctp("")}, []string{
			"-p sctp -m sctp --sport 1024", "-p sctp -m sctp ! --dport 80", "-p sctp -m sctp --chunk-types any DATA", "-p sctp -m sctp --chunk-types all DATA,SACK", "-p sctp -m sctp --chunk-types only DATA", "-p sctp -m sctp --chunk-types any DATA:Be", "-p sctp -m sctp --chunk-types any DATA:bE,INIT",
			"-p sctp -m sctp ! --chunk-types any DATA", "-p sctp -m sctp --chunk-types only DATA:UBE", "-p sctp -m sctp --chunk-types any SHUTDOWN_COMPLETE:T", "-p sctp -m sctp --chunk-types all ABORT:t", "-p sctp -m sctp ! --chunk-types only SACK,DATA", "-p sctp -m sctp --chunk-types all ALL"}},
		{"DCCP", false, [][]byte{dccp(false, 0, ""), dccp(false, 2, "01 01 01 00"), dccp(false, 5, "20 04 0102 26 03 01 00"), dccp(false, 9, "20 01 0000"), dccp(false, 2, "ff 00 00 00")}, []string{
			"-p dccp -m dccp --sport 1024", "-p dccp -m dccp ! --dport 80:90", "-p dccp -m dccp --dccp-types REQUEST", "-p dccp -m dccp ! --dccp-types REQUEST,DATA", "-p dccp -m dccp --dccp-types INVALID", "-p dccp -m dccp --dccp-option 32", "-p dccp -m dccp ! --dccp-option 1", "-p dccp -m dccp --dccp-option 38 --dccp-types RESET,CLOSE,DATAACK"}},
		{"u32", false, [][]byte{udp(false, 53, 80, data), udp(false, 1024, 1024, "x"), ipOf(false, 6, wire.Segment{Sport: 1024, Dport: 80, Flags: wire.SYN}.Bytes(host(false, true, 10), host(false, false, 10)))}, []string{
			`-m u32 --u32 "0=0x45000057"`, `-m u32 --u32 "0&0xffff=0x20:0x40"`, `-m u32 ! --u32 "0&0xffff=0x20:0x40"`, `-m u32 --u32 "6&0xff=17&&0>>22&0x3c@0>>16=53"`, `-m u32 --u32 "0>>22&0x3c@12>>26&0x3c@0=0"`, `-m u32 --u32 "100=0"`, `-m u32 ! --u32 "100=0"`, `-m u32 --u32 "8&0xff=17,6,1:3"`, `-m u32 --u32 "20@0xffffffff=1"`, `-m u32 --u32 "4294967295=0"`, `-m u32 --u32 "16<<8=0x33640a00"`}},
		{"string", false, [][]byte{udp(false, 53, 80, data), udp(false, 53, 80, "needl"), udp(false, 53, 80, ""), udp(false, 53, 80, "nneedle|needleneedle")}, []string{
			`-m string --algo bm --string needle`, `-m string --algo kmp --string needle`, `-m string --algo bm ! --string needle`, `-m string --algo bm --icase --string needle`, `-m string --algo kmp --icase --string NEEDLE`, `-m string --algo bm --from 53 --string needle`, `-m string --algo bm --from 54 --string needle`, `-m string --algo kmp --from 53 --to 58 --string needle`,
			`-m string --algo kmp --from 53 --to 53 --string needle`, `-m string --algo bm --from 53 --to 53 --string needle`, `-m string --algo bm --to 52 --string needle`, `-m string --algo bm --hex-string "|47 45|T "`, `-m string --algo kmp --to 200 --string NEEDLE`, `-m string --algo bm --from 1000 --string a`, `-m string --algo kmp --string nn`, `-m string --algo bm --from 82 --string NEEDLE`}},
		{"bytecode", false, [][]byte{udp(false, 53, 80, data), udp(false, 1024, 1024, "x"), ipOf(false, 6, wire.Segment{Sport: 1024, Dport: 80, Flags: wire.SYN}.Bytes(host(false, true, 10), host(false, false, 10))), ipOf(false, 1, unhex("0800 0000 0001 0001"))}, []string{
			`-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0"`, `-m bpf --bytecode "5,177 0 0 0,72 0 0 2,21 0 1 80,6 0 0 1,6 0 0 0"`, `-m bpf --bytecode "2,32 0 0 24,6 0 0 1"`, `-m bpf --bytecode "2,32 0 0 4294963200,22 0 0 0"`, `-m bpf --bytecode "4,32 0 0 4294963204,21 0 1 0,6 0 0 1,6 0 0 0"`, `-m bpf --bytecode "2,32 0 0 4294963208,22 0 0 0"`,
			`-m bpf --bytecode "3,128 0 0 0,84 0 0 1,22 0 0 0"`, `-m bpf --bytecode "4,48 0 0 4293918729,21 0 1 17,6 0 0 1,6 0 0 0"`, `-m bpf --bytecode "5,48 0 0 24,7 0 0 0,128 0 0 0,60 0 0 0,22 0 0 0"`, `-m bpf --bytecode "5,1 0 0 37,0 0 0 1,108 0 0 0,84 0 0 32,22 0 0 0"`, `-m bpf --bytecode "2,40 0 0 4292870144,6 0 0 1"`, `-m bpf --bytecode "3,1 0 0 4294967295,80 0 0 10,22 0 0 0"`}},
		{"bytecode over IPv6", true, [][]byte{udp(true, 53, 80, data)}, []string{`-m bpf --bytecode "4,48 0 0 6,21 0 1 17,6 0 0 1,6 0 0 0"`, `-m bpf --bytecode "4,32 0 0 4294963200,21 0 1 34525,6 0 0 1,6 0 0 0"`}},
		{"compression", false, [][]byte{ipOf(false, 108, unhex("0600 0001 61626364")), ipOf(false, 108, unhex("0601 ffff"))}, []string{"-p ipcomp -m ipcomp --ipcompspi 1", "-p ipcomp -m ipcomp ! --ipcompspi 1", "-p ipcomp -m ipcomp --ipcompspi 2:65535", "-p ipcomp -m ipcomp --ipcompspi 1 --compres"}},
		{"authentication and encryption", false, [][]byte{ipOf(false, 51, unhex("1104 0000 00000001 00000001 000000000000000000000000")), ipOf(false, 50, unhex("00000001 00000002 00"))}, []string{"-p ah -m ah --ahspi 1", "-p ah -m ah ! --ahspi 1:5", "-p esp -m esp --espspi 1", "-p esp -m esp ! --espspi 0:7"}},
		{"reverse path", false, [][]byte{udp(false, 1, 2, "x"), wire.IP{Src: host(false, false, 9), Dst: host(false, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000")), wire.IP{Src: netip.MustParseAddr("203.0.113.9"), Dst: host(false, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000")),
			wire.IP{Src: netip.MustParseAddr("192.0.2.1"), Dst: host(false, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000")), wire.IP{Src: netip.MustParseAddr("10.9.9.9"), Dst: host(false, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000")), wire.IP{Src: netip.MustParseAddr("0.0.0.0"), Dst: netip.MustParseAddr("255.255.255.255"), Proto: 17, TTL: 9}.Packet(unhex("0044 0043 0008 0000"))}, []string{
			"-m rpfilter", "-m rpfilter --invert", "-m rpfilter --loose", "-m rpfilter --loose --invert", "-m rpfilter --accept-local", "-m rpfilter --validmark --loose --accept-local"}},
		{"reverse path over IPv6", true, [][]byte{udp(true, 1, 2, "x"), wire.IP{Src: host(true, false, 9), Dst: host(true, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000")), wire.IP{Src: netip.MustParseAddr("2001:db8:99::1"), Dst: host(true, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000")),
			wire.IP{Src: netip.MustParseAddr("2001:db8:1::1"), Dst: host(true, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000")), wire.IP{Src: netip.MustParseAddr("fe80::1"), Dst: host(true, false, 10), Proto: 17, TTL: 9}.Packet(unhex("0001 0002 0008 0000"))}, []string{
			"-m rpfilter", "-m rpfilter --invert", "-m rpfilter --loose", "-m rpfilter --loose --invert", "-m rpfilter --accept-local"}},
		{"no bridge", false, [][]byte{udp(false, 53, 80, data)}, []string{
			"-m physdev --physdev-in lan0", "-m physdev ! --physdev-in lan0", "-m physdev ! --physdev-is-in", "-m physdev --physdev-is-bridged",
			"-m physdev ! --physdev-is-bridged ! --physdev-in lan0", "-m physdev ! --physdev-is-bridged --physdev-in lan+",
		}},
		{"constants", false, [][]byte{udp(false, 53, 80, data)}, []string{"-m devgroup --src-group 0", "-m devgroup ! --src-group 0", "-m devgroup --src-group 1/2", "-m devgroup ! --src-group 3/0", "-m policy --dir in --pol none", "-m policy --dir in --pol ipsec",
			"-m time --timestart 00:00 --timestop 23:59:59", "-m time --weekdays Mon,Tue,Wed,Thu,Fri,Sat,Sun", "-m time --datestart 2038-01-01", "-m time --datestop 2020-01-01", "-m time ! --monthdays 31", "-m time --datestart 2000-01-01T00:00:00 --datestop 2037-01-01",
			"-m cpu ! --cpu 4000", "-m helper --helper ftp", "-m helper ! --helper ftp", "-m connlabel --label 1", "-m connlabel ! --label 1", "-m connlabel ! --label 1 --set", "-m cluster --cluster-total-nodes 2 --cluster-local-nodemask 3 --cluster-hash-seed 1", "-m connbytes --connbytes 0: --connbytes-dir both --connbytes-mode packets"}},
	}
}

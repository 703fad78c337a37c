package linuxdiff

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/synproxy"
)

var synproxyCount = flag.Int("synproxies", 12, "play so many dialogues through -j SYNPROXY, of each family and rule")

// TestSynProxyWithCookiesOfItsOwn plays connections with mishaps through -j
// SYNPROXY. Each side gives its own cookies and time stamps, and each is
// answered with what it gave; all else must be the same.
func TestSynProxyWithCookiesOfItsOwn(t *testing.T) {
	k := extensionKernel(t)
	if err := k.Sysctl(map[string]string{"net.netfilter.nf_conntrack_tcp_loose": "0"}); err != nil {
		t.Fatal(err)
	}
	for _, v6 := range []bool{false, true} {
		for _, options := range []string{
			"--sack-perm --timestamp --wscale 7 --mss 1460 --ecn", "--sack-perm --timestamp --wscale 7 --mss 1460", "--timestamp", "", "--mss 1200 --sack-perm", "--wscale 15 --mss 1400 --timestamp",
		} {
			t.Run(fmt.Sprintf("v6=%t %s", v6, options), func(t *testing.T) {
				rules := synproxyRules(options)
				if err := k.Reload(map[bool]string{false: rules}[v6], map[bool]string{true: rules}[v6]); err != nil {
					t.Fatal(err)
				}
				packets, opened := 0, 0
				for seed := range uint64(*synproxyCount) {
					d := newDialed(t, k, v6, rules, seed)
					d.play()
					packets, opened = packets+len(d.log), opened+d.opened
				}
				if opened == 0 {
					t.Error("no connection came about")
				}
				t.Logf("%d packets, %d connections", packets, opened)
			})
		}
	}
}

// synproxyRules is the rules of iptables-extensions(8), for clients behind wan0.
func synproxyRules(options string) string {
	return "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j TRACE\n-A OUTPUT -j TRACE\n-A PREROUTING -i wan0 -p tcp -m tcp --dport 80 --syn -j CT --notrack\nCOMMIT\n" +
		"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" +
		"-A FORWARD -i wan0 -p tcp -m tcp --dport 80 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY " + options + "\n" +
		"-A FORWARD -m conntrack --ctstate INVALID -j DROP\n-A FORWARD -m conntrack --ctstate ESTABLISHED\n-A OUTPUT -m conntrack --ctstate INVALID\n-A OUTPUT -m conntrack --ctstate NEW,ESTABLISHED\nCOMMIT\n" +
		"*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n" +
		"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n*security\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
}

// dialed is one client and one server with the proxy between them.
type dialed struct {
	t    *testing.T
	k    *kernel.Kernel
	w    *subject
	r    *rand.Rand
	v6   bool
	seed uint64

	client, server netip.Addr
	sport          uint16
	cookie, stamp  [2]uint32 // of the kernel, and of weir
	// cookies and clocks are how far those of the kernel were ahead so far.
	cookies, clocks []uint32
	stats           [5]uint32
	log             []string
	opened          int
}

func newDialed(t *testing.T, k *kernel.Kernel, v6 bool, rules string, seed uint64) *dialed {
	t.Helper()
	c := &gen.Case{Machine: extensionMachine(), Seed: seed}
	c.Machine.Sysctl["net.netfilter.nf_conntrack_tcp_loose"] = "0"
	if c.Rules4 = rules; v6 {
		c.Rules4, c.Rules6 = "", rules
	}
	w, err := newSubject(c, BySeed, func(cfg *engine.Config) {
		cfg.Cookies = synproxy.NewCookies(engine.NewRand(seed).Uint32)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.slack = 3
	if err := k.Flush(); err != nil {
		t.Fatal(err)
	}
	d := &dialed{t: t, k: k, w: w, r: rand.New(rand.NewPCG(seed, 0x73796e)), v6: v6, seed: seed, client: host(v6, false, 10), server: host(v6, true, 10)}
	d.stats = d.kernelStats()
	return d
}

// kernelStats adds up what each processor counted.
func (d *dialed) kernelStats() (sum [5]uint32) {
	text, _, _, err := d.k.Program("", "cat", "/proc/net/stat/synproxy")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		var v [6]uint32
		if _, err := fmt.Sscanf(line, "%x %x %x %x %x %x", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]); err != nil {
			d.t.Fatal(err)
		}
		for i := range sum {
			sum[i] += v[i+1]
		}
	}
	return sum
}

// seg is a segment of which some numbers hang on what a side was told.
type seg struct {
	wire.Segment
	fromServer      bool
	onCookie        bool   // Ack is relative to the cookie
	stamps          bool   // has a time stamp
	tsval, tsecr    uint32 // tsecr is relative to the stamp of the side, if onStamp
	onStamp, sacked bool   // sacked: one block, relative as Ack is
	bad             bool   // with a wrong checksum
}

func (d *dialed) bytes(s *seg, side int) []byte {
	g := s.Segment
	g.Options = slices.Clone(g.Options)
	if s.onCookie {
		g.Ack += d.cookie[side]
	}
	if s.stamps {
		e := s.tsecr
		if s.onStamp {
			e += d.stamp[side]
		}
		g.Options = append(g.Options, 1, 1, 8, 10)
		g.Options = binary.BigEndian.AppendUint32(g.Options, s.tsval)
		g.Options = binary.BigEndian.AppendUint32(g.Options, e)
	}
	if s.sacked {
		g.Options = append(g.Options, 1, 1, 5, 10)
		g.Options = binary.BigEndian.AppendUint32(g.Options, g.Ack+100)
		g.Options = binary.BigEndian.AppendUint32(g.Options, g.Ack+200)
	}
	src, dst := d.client, d.server
	g.Sport, g.Dport = d.sport, 80
	if s.fromServer {
		src, dst, g.Sport, g.Dport = dst, src, 80, d.sport
	}
	b := g.Bytes(src, dst)
	if s.bad {
		b[16] ^= 0x55
	}
	return wire.IP{Src: src, Dst: dst, Proto: 6, TTL: 64, DF: true, ID: 7}.Packet(b)
}

// plain shows what left, with the fields of TCP that hang on a cookie or a stamp
// put aside, and whether the checksum is right.
func plain(o kernel.Output) (text string, numbers, stamps []uint32) {
	b := slices.Clone(o.Data)
	v, ok := wire.Parse(b)
	if !ok || v.Proto != 6 || len(v.L4) < 20 {
		return o.Dev + fmt.Sprintf(" %x", b), nil, nil
	}
	be, h := binary.BigEndian, b[len(b)-len(v.L4):]
	sum, brief := be.Uint16(h[16:]), Brief(b)
	wire.SumL4(v.Src, v.Dst, 6, h, 16)
	right := be.Uint16(h[16:]) == sum
	be.PutUint16(h[16:], 0)
	aside := func(at int) (n uint32) {
		n = be.Uint32(h[at:])
		be.PutUint32(h[at:], 0)
		return n
	}
	numbers = []uint32{aside(4), aside(8)}
	for i, off := 20, int(h[12]>>4)*4; i+1 < off && h[i] != 0; {
		switch {
		case h[i] == 1:
			i++
			continue
		case h[i+1] < 2 || i+int(h[i+1]) > off:
			i = off
			continue
		case h[i] == 8 && h[i+1] == 10:
			stamps = append(stamps, aside(i+2), aside(i+6))
		case h[i] == 5 && h[i+1] == 10:
			numbers = append(numbers, aside(i+2), aside(i+6))
		}
		i += int(h[i+1])
	}
	_, brief, _ = strings.Cut(brief, " proto")
	brief, _, _ = strings.Cut(brief, " seq")
	return fmt.Sprintf("%s sum=%t %s %x", o.Dev, right, brief, b), numbers, stamps
}

// same compares what left: numbers may be as far apart as cookies are that the
// two gave.
func (d *dialed) same(k, w []kernel.Output) (kernelText, weirText string, same bool) {
	k, w = byDevice(k), byDevice(w)
	same = len(k) == len(w)
	apart := func(a, b, by []uint32) bool {
		// A SYN that came again has numbers of its own: what was moved by those
		// of one and is relative to those of the other is apart by both.
		all := []uint32{0}
		for _, x := range by {
			all = append(all, x, -x)
			for _, y := range by {
				all = append(all, x-y)
			}
		}
		for i := range a {
			if !slices.Contains(all, a[i]-b[i]) {
				return false
			}
		}
		return true
	}
	for i := 0; i < max(len(k), len(w)); i++ {
		var a, b string
		var an, as, bn, bs []uint32
		if i < len(k) {
			a, an, as = plain(k[i])
			kernelText += fmt.Sprintf("\n   %s %d %d", a, an, as)
		}
		if i < len(w) {
			b, bn, bs = plain(w[i])
			weirText += fmt.Sprintf("\n   %s %d %d", b, bn, bs)
		}
		same = same && a == b && apart(an, bn, d.cookies) && apart(as, bs, d.clocks)
	}
	return kernelText, weirText, same
}

// send gives a segment to both sides and compares; it returns what left the
// kernel by a device.
func (d *dialed) send(what string, s *seg) (out []kernel.Output) {
	d.t.Helper()
	dev := "wan0"
	if s.fromServer {
		dev = "lan0"
	}
	kb, wb := d.bytes(s, 0), d.bytes(s, 1)
	res, err := d.k.Inject(dev, kb)
	if err != nil {
		d.t.Fatal(err)
	}
	d.w.steer.follow(res.Events)
	got := d.w.run(gen.Packet{In: dev, Data: wb}, time.Now().UnixNano())
	d.log = append(d.log, what+": "+Brief(kb))
	wo := outputs(&got)
	if !s.fromServer && s.Flags&(wire.SYN|wire.ACK) == wire.SYN && len(res.Out) == 1 && len(wo) == 1 {
		d.learn(res.Out[0].Data, 0)
		d.learn(wo[0].Data, 1)
		d.cookies = append(d.cookies, d.cookie[0]-d.cookie[1])
		d.clocks = append(d.clocks, d.stamp[0]-d.stamp[1])
	}
	if a, b, same := d.same(res.Out, wo); !same {
		d.fail("output", a, b+fmt.Sprintf(" (%s %s) %d %d %d %+v", got.Verdict, got.Reason, d.clocks, d.stamp, d.cookies, s))
	}
	trace, _ := logs(got.Logs)
	if a, b := strings.Join(res.Trace, "\n"), strings.Join(trace, "\n"); a != b {
		d.fail("trace", a, b)
	}
	if a, b, same := sameEvents(res.Events, d.w.events, d.w.slack); !same {
		d.fail("events", a, b)
	}
	return res.Out
}

func (d *dialed) fail(what, k, w string) {
	d.t.Helper()
	d.t.Fatalf("seed %d, %s differs\n%s\nkernel: %s\nweir: %s", d.seed, what, strings.Join(d.log[max(0, len(d.log)-8):], "\n"), k, w)
}

// learn takes the cookie and the stamp of a side from its SYN/ACK.
func (d *dialed) learn(b []byte, side int) {
	v, ok := wire.Parse(b)
	if !ok || len(v.L4) < 20 || v.L4[13]&(wire.SYN|wire.ACK) != wire.SYN|wire.ACK {
		return
	}
	d.cookie[side], d.stamp[side] = binary.BigEndian.Uint32(v.L4[4:]), 0
	for o := v.L4[20 : int(v.L4[12]>>4)*4]; len(o) > 1; {
		switch {
		case o[0] == 0:
			return
		case o[0] == 1:
			o = o[1:]
			continue
		case o[0] == 8:
			d.stamp[side] = binary.BigEndian.Uint32(o[2:]) &^ 63
		}
		o = o[o[1]:]
	}
}

func (d *dialed) chance(n int) bool { return d.r.IntN(100) < n }

// play plays a few connections with mishaps.
func (d *dialed) play() {
	for range 3 {
		d.sport = uint16(1024 + d.r.IntN(60000))
		cs := d.r.Uint32()
		d.connection(cs)
		if d.chance(40) {
			// By the same port, beyond the window of the first: whether what is
			// in it is acknowledged hangs on the cookies.
			d.connection(cs + 1<<30)
		}
	}
	now := d.kernelStats()
	w := d.w.m.Conntrack().SynProxyStats()
	for i, n := range [5]uint64{w.SynReceived, w.CookieInvalid, w.CookieValid, w.CookieRetrans, w.ConnReopened} {
		if uint64(now[i]-d.stats[i]) != n {
			d.t.Fatalf("seed %d: statistic %d is %d, in Linux %d", d.seed, i, n, now[i]-d.stats[i])
		}
	}
	d.w.now = max(d.w.now, time.Now().UnixNano())
	entries, err := d.k.Dump()
	if err != nil {
		d.t.Fatal(err)
	}
	if diff := sameTable(entries, d.w.dump(), d.w.slack); diff != nil {
		d.t.Fatalf("seed %d: %v\n%s", d.seed, diff, strings.Join(d.log, "\n"))
	}
}

// connection plays one whose client begins with the number cs.
func (d *dialed) connection(cs uint32) {
	const syn, ack, fin, rst, psh = wire.SYN, wire.ACK, wire.FIN, wire.RST, wire.PSH
	ss := d.r.Uint32()
	stamps := d.chance(70)
	var opts []byte
	if d.chance(90) {
		mss := []uint16{100, 536, 1220, 1299, 1300, 1440, 1459, 1460, 8940, 9000}[d.r.IntN(10)]
		opts = append(opts, 2, 4, byte(mss>>8), byte(mss))
	}
	if d.chance(60) {
		opts = append(opts, 1, 1, 4, 2)
	}
	if d.chance(60) {
		opts = append(opts, 1, 3, 3, byte(d.r.IntN(17)))
	}
	if d.chance(5) {
		opts = append(opts, byte(d.r.IntN(10)), byte(d.r.IntN(6)), 1, 1)
	}
	flags := uint8(syn)
	if d.chance(30) {
		flags |= 0xc0
	}
	first := &seg{Segment: wire.Segment{Seq: cs, Flags: flags, Win: 64240, Options: opts}, stamps: stamps, tsval: d.r.Uint32()}
	d.cookie, d.stamp = [2]uint32{}, [2]uint32{}
	if d.chance(10) {
		bad := *first
		bad.bad = true
		d.send("SYN with a wrong checksum", &bad)
	}
	if d.chance(5) {
		d.send("RST", &seg{Segment: wire.Segment{Seq: cs, Flags: rst}})
	}
	d.send("SYN", first)
	if d.cookie[0] == 0 {
		return
	}
	stamped := stamps && d.stamp[0] != 0
	low := uint32(d.r.IntN(64))
	fromClient := func(flags uint8, seq, ack uint32, data string) *seg {
		return &seg{Segment: wire.Segment{Seq: seq, Ack: ack, Flags: flags, Win: 500, Data: []byte(data)}, onCookie: true, stamps: stamped, tsval: first.tsval + 5, tsecr: low, onStamp: true}
	}
	if d.chance(15) {
		d.send("wrong cookie", fromClient(ack, cs+1, 0x12345678, ""))
	}
	if d.chance(15) {
		d.send("cookie of another segment size", fromClient(ack, cs+1, uint32(d.r.IntN(7)), ""))
	}
	if d.chance(10) {
		d.send("cookie with data", fromClient(ack|psh, cs+1, 1, "too early"))
	} else {
		d.send("cookie", fromClient(ack, cs+1, 1, ""))
	}
	for d.chance(25) {
		d.send("keepalive", fromClient(ack, cs, uint32(d.r.IntN(3)), ""))
	}
	if d.chance(10) {
		d.send("cookie again", fromClient(ack, cs+1, 1, ""))
	}
	if d.chance(10) {
		d.send("the server refuses", &seg{Segment: wire.Segment{Ack: cs + 1, Flags: rst | ack}, fromServer: true})
		return
	}
	opts = []byte{2, 4, 5, 180}
	if d.chance(60) {
		opts = append(opts, 1, 1, 4, 2)
	}
	if d.chance(60) {
		opts = append(opts, 1, 3, 3, byte(d.r.IntN(16)))
	}
	clock := d.r.Uint32()
	fromServer := func(flags uint8, seq, ack uint32, data string) *seg {
		return &seg{Segment: wire.Segment{Seq: seq, Ack: ack, Flags: flags, Win: 60000, Data: []byte(data)}, fromServer: true, stamps: stamped, tsval: clock, tsecr: first.tsval}
	}
	answer := fromServer(syn|ack, ss, cs+1, "")
	answer.Options = opts
	if stamped && d.chance(10) {
		answer.stamps = false
	}
	d.send("SYN/ACK", answer)
	d.opened++
	if d.chance(10) {
		d.send("SYN/ACK again", answer)
	}
	cn, sn := cs+1, uint32(1) // sn is relative to the server's number
	for range 1 + d.r.IntN(6) {
		switch d.r.IntN(5) {
		case 0, 1:
			s := fromClient(ack|psh, cn, sn, "GET / HTTP/1.0\r\n")
			s.sacked = d.chance(30)
			d.send("request", s)
			cn += uint32(len(s.Data))
		case 2, 3:
			s := fromServer(ack|psh, ss+sn, cn, "HTTP/1.0 200 OK\r\n")
			s.sacked = d.chance(30)
			d.send("response", s)
			sn += uint32(len(s.Data))
		case 4:
			d.send("acknowledgement", fromClient(ack, cn, sn, ""))
		}
	}
	switch d.r.IntN(4) {
	case 0:
		reset := fromClient(rst, cn, 0, "")
		reset.onCookie = false
		d.send("client's reset", reset)
	case 1:
		d.send("server's reset", fromServer(rst|ack, ss+sn, cn, ""))
	case 2:
		d.send("client's end", fromClient(fin|ack, cn, sn, ""))
		d.send("server's end", fromServer(fin|ack, ss+sn, cn+1, ""))
		d.send("last", fromClient(ack, cn+1, sn+1, ""))
	}
}

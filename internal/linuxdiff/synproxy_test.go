package linuxdiff

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/iface"
	"weir/internal/kernel"
	"weir/internal/wire"
	"weir/packet"
)

// proxied is one end of a connection through the proxy: what it sends next.
type proxied struct {
	dev        string
	addr, peer netip.Addr
	port, to   uint16
	seq, ack   uint32
	win        uint16
	stamps     bool
	stamp      uint32 // own clock
	echo       uint32 // the other's
}

func (h *proxied) segment(flags uint8, opts []byte, data []byte) []byte {
	if h.stamps {
		h.stamp += 7
		o := binary.BigEndian.AppendUint32([]byte{1, 1, 8, 10}, h.stamp)
		opts = append(opts, binary.BigEndian.AppendUint32(o, h.echo)...)
	}
	s := wire.Segment{Sport: h.port, Dport: h.to, Seq: h.seq, Ack: h.ack, Flags: flags, Win: h.win, Options: opts, Data: data}
	return wire.IP{Src: h.addr, Dst: h.peer, Proto: wire.ProtoTCP, TTL: 64}.Packet(s.Bytes(h.addr, h.peer))
}

// hear takes what left the machine by the host's device.
func (h *proxied) hear(out []kernel.Output) (flags uint8) {
	for _, o := range out {
		v, ok := wire.Parse(o.Data)
		if o.Dev != h.dev || !ok || v.Proto != wire.ProtoTCP || len(v.L4) < 20 {
			continue
		}
		flags |= v.L4[13]
		n := uint32(len(v.L4) - int(v.L4[12]>>4)*4)
		if v.L4[13]&(wire.SYN|wire.FIN) != 0 {
			n++
		}
		h.ack = binary.BigEndian.Uint32(v.L4[4:]) + n
		if at := stampAt(v.L4); at > 0 {
			h.echo = binary.BigEndian.Uint32(v.L4[at:])
		}
	}
	return flags
}

// TestSynproxy plays clients and servers through the proxy of the kernel and of
// weir: handshakes with every set of options, data, keep-alives, resets,
// connections that begin again, wrong cookies, segments out of place.
func TestSynproxy(t *testing.T) {
	needKernel(t)
	const rules = `*raw
:PREROUTING ACCEPT
-A PREROUTING -i wan0 -p tcp -m tcp --dport 80 --syn -j CT --notrack
COMMIT
*nat
:PREROUTING ACCEPT
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
-A FORWARD -i wan0 -p tcp -m tcp --dport 80 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY%s
-A INPUT -i wan0 -p tcp -m tcp --dport 80 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY%[1]s
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
`
	packets, joined := 0, 0
	for n, opts := range []string{"", " --sack-perm", " --timestamp", " --sack-perm --timestamp --wscale 7 --mss 1460", " --wscale 7 --mss 1400",
		" --timestamp --wscale 0 --ecn", " --sack-perm --timestamp --wscale 14 --mss 536 --ecn"} {
		t.Run("SYNPROXY"+opts, func(t *testing.T) {
			text := fmt.Sprintf(rules, opts)
			sysctl := map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.netfilter.nf_conntrack_tcp_loose": "0",
				"net.netfilter.nf_conntrack_acct": "1", "net.ipv4.tcp_syncookies": "1"}
			kc := kernel.Config{Rules4: text, Rules6: text, Trace: true, Sysctl: sysctl}
			var ifs []*iface.Iface
			for i, d := range []struct{ name, four, six string }{{"lan0", "192.0.2.1/25", "2001:db8:1::1/64"}, {"wan0", "203.0.113.2/24", "2001:db8:2::2/64"}} {
				a, b := netip.MustParsePrefix(d.four), netip.MustParsePrefix(d.six)
				kc.Ifaces = append(kc.Ifaces, kernel.Iface{Name: d.name, Addrs: []netip.Prefix{a, b}})
				ifs = append(ifs, &iface.Iface{Index: i + 2, Name: d.name, MTU: 1500, Addrs: []iface.Addr{{Prefix: a, Broadcast: broadcast(a)}, {Prefix: b}}})
			}
			k, err := kernel.New(kc)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			w := &subject{steer: &steer{spare: newSpare()}, slack: 1}
			rs := engine.Text{Text: []byte(text)}
			if err := w.open(engine.Config{Ifaces: ifs, Rules4: rs, Rules6: rs, Rand: w.steer, Sysctl: sysctl}); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(uint64(n), *dialogueSeed))
			var walk []string
			inject := func(dev string, p []byte) []kernel.Output {
				t.Helper()
				packets++
				v, _ := wire.Parse(p)
				walk = append(walk, fmt.Sprintf("%s %x", dev, v.L4))
				res, err := k.Inject(dev, p)
				if err != nil {
					t.Fatal(err)
				}
				w.follow(p, &res)
				w.events, w.now = w.events[:0], time.Now().UnixNano()
				got := w.m.Receive(w.m.Ifaces().Name(dev), packet.Link{}, slices.Clone(p), w.now)
				if d := packetDifference(p, &res, &got, w, false); d != nil {
					t.Fatalf("%s\n%s", strings.Join(walk, "\n"), d)
				}
				return res.Out
			}
			for call := range max(12, *dialogueCount) {
				walk = walk[:0]
				c := &proxied{dev: "wan0", addr: netip.MustParseAddr("203.0.113.9"), peer: netip.MustParseAddr("192.0.2.10"),
					port: uint16(4000 + call/2%50000), to: 80, seq: r.Uint32(), win: uint16(r.Uint32()), stamps: r.IntN(3) > 0, stamp: r.Uint32()}
				if call%2 == 1 {
					c.addr, c.peer = netip.MustParseAddr("2001:db8:2::9"), netip.MustParseAddr("2001:db8:1::10")
				}
				s := &proxied{dev: "lan0", addr: c.peer, peer: c.addr, port: 80, to: c.port, seq: r.Uint32(), win: uint16(r.Uint32()), stamps: c.stamps && r.IntN(4) > 0, stamp: r.Uint32()}
				var mine, theirs []byte
				for _, o := range [][]byte{{2, 4, byte(r.IntN(9)), byte(r.Uint32())}, {4, 2}, {1, 3, 3, byte(r.IntN(16))}} {
					if r.IntN(3) > 0 {
						mine = append(mine, o...)
					}
					if r.IntN(3) > 0 {
						theirs = append(theirs, o...)
					}
				}
				for len(mine)%4 != 0 {
					mine = append(mine, 1)
				}
				for len(theirs)%4 != 0 {
					theirs = append(theirs, 1)
				}
				for again := range 1 + r.IntN(2) { // the second begins anew
					syn := uint8(wire.SYN)
					if r.IntN(2) == 0 {
						syn |= wire.ECE | wire.CWR
					}
					c.ack, c.echo = 0, 0
					out := inject(c.dev, c.segment(syn, slices.Clone(mine), nil))
					c.seq++
					if c.hear(out)&wire.SYN == 0 && again == 0 {
						t.Fatalf("no SYN/ACK:\n%s", strings.Join(walk, "\n"))
					}
					if r.IntN(4) == 0 { // a wrong cookie
						bad := *c
						bad.ack += 1 + r.Uint32N(1000)
						inject(c.dev, bad.segment(wire.ACK, nil, nil))
					}
					first := c.segment(wire.ACK, nil, nil)
					asked := s.hear(inject(c.dev, first))
					if r.IntN(3) == 0 { // nobody answered the client yet: it asks whether somebody is there
						alive := *c
						alive.seq--
						s.hear(inject(c.dev, alive.segment(wire.ACK, nil, nil)))
					}
					if r.IntN(5) == 0 {
						inject(s.dev, s.segment(wire.RST|wire.ACK, nil, nil)) // the server will not
						c.seq += 1000
						continue
					}
					out = inject(s.dev, s.segment(wire.SYN|wire.ACK, slices.Clone(theirs), nil))
					s.seq++
					if asked&wire.SYN != 0 && c.hear(out) != 0 {
						joined++
					}
					s.hear(out)
					for range r.IntN(8) {
						from, to := c, s
						if r.IntN(2) == 0 {
							from, to = s, c
						}
						data := make([]byte, r.IntN(30))
						flags := uint8(wire.ACK | wire.PSH)
						if r.IntN(12) == 0 {
							flags = wire.RST | wire.ACK
						}
						to.hear(inject(from.dev, from.segment(flags, nil, data)))
						from.seq += uint32(len(data))
					}
					if r.IntN(2) == 0 {
						for _, from := range []*proxied{c, s} {
							to := s
							if from == s {
								to = c
							}
							to.hear(inject(from.dev, from.segment(wire.FIN|wire.ACK, nil, nil)))
							from.seq++
						}
						s.hear(inject(c.dev, c.segment(wire.ACK, nil, nil)))
					}
					inject(c.dev, c.segment(wire.RST, nil, nil))
					c.seq += 100000
					s.seq += 100000
				}
			}
		})
	}
	if joined == 0 {
		t.Error("no connection was joined")
	}
	t.Logf("%d packets, %d connections", packets, joined)
}

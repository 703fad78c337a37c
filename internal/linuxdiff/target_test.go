package linuxdiff

import (
	"testing"

	"weir/internal/gen"
	"weir/internal/wire"
)

// TestTargetsAsLinux sends packets through targets that change them, or their
// mark: the mark goes to the connection, which the event of it shows.
func TestTargetsAsLinux(t *testing.T) {
	k := extensionKernel(t)
	packet := func(v6 bool, proto uint8, from int, body []byte) gen.Packet {
		return gen.Packet{In: "lan0", Data: wire.IP{Src: host(v6, true, from), Dst: host(v6, false, 10), Proto: proto, TTL: 64}.Packet(body)}
	}
	udp := func(v6 bool, from, sport, dport int) gen.Packet {
		return packet(v6, 17, from, wire.Datagram(17, host(v6, true, from), host(v6, false, 10), uint16(sport), uint16(dport), []byte("x")))
	}
	var list [2][]gen.Packet
	for f, v6 := range []bool{false, true} {
		for i := range 12 {
			list[f] = append(list[f], udp(v6, 10+i, 1000+i*97, 2000-i*101))
		}
		quoted := udp(v6, 10, 1000, 2000).Data
		src, dst := host(v6, true, 10), host(v6, false, 10)
		errType, echo := uint8(3), uint8(8)
		if v6 {
			errType, echo = 1, 128
		}
		inner := wire.IP{Src: dst, Dst: src, Proto: 17, TTL: 9}.Packet(wire.Datagram(17, dst, src, 2000, 1000, []byte("x")))
		list[f] = append(list[f],
			packet(v6, wire.ICMPOf(src), 10, wire.ICMP(src, dst, errType, 1, 0, quoted)),
			packet(v6, wire.ICMPOf(src), 10, wire.ICMP(src, dst, errType, 1, 0, inner)),
			packet(v6, wire.ICMPOf(src), 10, wire.ICMP(src, dst, echo, 0, 0x10002, []byte("x"))),
			packet(v6, 50, 10, unhex("00001234 00000001 0000000000000000")), packet(v6, 51, 10, unhex("1104 0000 00005678 00000001 00000000 00000000 00000000 0035 0035 0008 0000")),
			packet(v6, 47, 10, unhex("0000 0800 00")))
		if v6 {
			list[f] = append(list[f], packet(v6, 60, 10, append(unhex("1100 0104 00000000"), udp(v6, 10, 5, 6).Data[40:]...)),
				packet(v6, 44, 11, unhex("1100 0001 00000007 0035 0036 0010 0000 0000000000000000")))
		}
	}
	const head = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n" +
		"*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
	t.Run("a mark by hash", func(t *testing.T) {
		for f, v6 := range []bool{false, true} {
			for _, o := range []string{
				"--hmark-tuple src,dst", "--hmark-tuple src,dst,sport,dport", "--hmark-tuple src,dst,sport,dport,proto", "--hmark-tuple src --hmark-offset 100", "--hmark-tuple ct,src,dst,sport,dport,proto", "--hmark-tuple ct,dst",
				"--hmark-tuple spi", "--hmark-spi-mask 0xff00ff", "--hmark-spi-mask 0xffff0000", "--hmark-sport-mask 0xff --hmark-dport-mask 0xff00", "--hmark-src-prefix 24 --hmark-dst-prefix 8", "--hmark-sport 80 --hmark-tuple src", "--hmark-dport 81 --hmark-dport-mask 0xf --hmark-proto-mask 0x11", "--hmark-spi 0x12345678 --hmark-tuple dst",
				"--hmark-src-prefix 20 --hmark-tuple dst",
			} {
				differ(t, k, v6, head+"-A FORWARD -j HMARK "+o+" --hmark-mod 1000003 --hmark-rnd 0xfeedcafe\n-A FORWARD -j CONNMARK --save-mark\nCOMMIT\n", list[f])
			}
		}
	})
	t.Run("a prefix for another", func(t *testing.T) {
		for _, r := range []string{
			"-A POSTROUTING -o wan0 -j SNPT --src-pfx 2001:db8:1::/64 --dst-pfx 2001:db8:77:5::/64", "-A POSTROUTING -o wan0 -j SNPT --src-pfx 2001:db8:1::/48 --dst-pfx 2001:db8:77::/48", "-A POSTROUTING -o wan0 -j SNPT --src-pfx 2001:db8::/56 --dst-pfx 2001:db8:ff00::/40",
			"-A PREROUTING -i lan0 -j DNPT --src-pfx 2001:db8:2::/64 --dst-pfx 2001:db8:3::/64", "-A POSTROUTING -j SNPT --src-pfx 2001:db8:1::/64 --dst-pfx 2001:db8:1::/64", "-A POSTROUTING -o wan0 -j SNPT --src-pfx fd00::/8 --dst-pfx 2001:db8:77:ffff::/64",
		} {
			differ(t, k, true, head+r+"\nCOMMIT\n", list[1])
		}
	})
	t.Run("nothing happens", func(t *testing.T) {
		for f, v6 := range []bool{false, true} {
			for _, r := range []string{"-j CONNSECMARK --save", "-j CONNSECMARK --restore", "-j AUDIT --type drop", "-j IDLETIMER --timeout 10 --label weir-test"} {
				differ(t, k, v6, head+"-A FORWARD "+r+"\nCOMMIT\n", list[f])
			}
		}
	})
}

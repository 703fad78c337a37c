package target

import (
	"encoding/binary"
	"errors"
	"math"

	"weir/hook"
	"weir/packet"
	"weir/route"
	"weir/xtables"
	"weir/xtables/args"
)

// TCPMSS is -j TCPMSS: lowers the maximum segment size that a SYN announces.
func TCPMSS() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "TCPMSS", Families: xtables.Both, Protos: []uint8{packet.TCP},
		Options: append(one("set-mss"), flags("clamp-mss-to-pmtu")...),
		Parse:   parseTCPMSS, Check: checkTCPMSS,
		Doc: "all options",
	}
}

type tcpmssTarget struct {
	clamp bool
	mss   int
}

func parseTCPMSS(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "set-mss", "clamp-mss-to-pmtu"); err != nil {
		return nil, err
	}
	m := &tcpmssTarget{}
	header := uint64(20)
	if c.Family == packet.IPv6 {
		header = 40
	}
	for i := range given {
		g := &given[i]
		if m.clamp = g.Name != "set-mss"; m.clamp {
			continue
		}
		n, err := args.Uint(g, 0, math.MaxUint16-header)
		if err != nil {
			return nil, err
		}
		m.mss = int(n)
	}
	return m, nil
}

func checkTCPMSS(c *xtables.Context, x xtables.Target) error {
	m := x.(*tcpmssTarget)
	if m.clamp && c.Points&^hook.MaskOf(hook.Forward, hook.Output, hook.Postrouting) != 0 {
		return errors.New("--clamp-mss-to-pmtu works in FORWARD, OUTPUT and POSTROUTING only")
	}
	if !wantsSYN(c) {
		return errors.New("TCPMSS needs a match of SYN in the same rule (-m tcp --syn, or --tcp-flags with SYN)")
	}
	return nil
}

// Do follows Linux net/netfilter/xt_TCPMSS.c.
func (m *tcpmssTarget) Do(t *hook.Traversal) xtables.Code {
	p := t.Pkt
	if p.FragOff != 0 {
		return xtables.Continue
	}
	p.Pull(len(p.Data))
	n := 0
	if p.L4 >= 0 && len(p.Data)-p.L4 >= 20 {
		n = int(p.Data[p.L4+12]>>4) * 4
	}
	if n < 20 || len(p.Data)-p.L4 < n {
		t.Why = hook.ReasonMalformed
		return xtables.Drop
	}
	mss := m.mss
	if m.clamp {
		headers := 40
		if p.Family == packet.IPv6 {
			headers = 60
		}
		mtu := min(t.Route.PathMTU(), reverseMTU(t))
		if p.Family == packet.IPv4 {
			mtu = min(mtu, math.MaxUint16) // lo's is longer than a packet can be
		}
		if mtu <= headers {
			t.Why = hook.ReasonTooBig
			return xtables.Drop
		}
		mss = mtu - headers
	}
	m.write(p, n, uint16(mss))
	return xtables.Continue
}

// reverseMTU is the MTU of the way back to the sender; as good as none where
// there is no route.
func reverseMTU(t *hook.Traversal) int {
	r := t.Env.Routes.Lookup(&route.Key{Family: t.Pkt.Family, Dst: t.Pkt.Src()})
	switch r.Type {
	case route.Unicast, route.Local, route.Broadcast, route.Multicast, route.Anycast:
		return r.PathMTU()
	}
	return math.MaxInt32
}

// write lowers the option that a header of n bytes has, or adds one to a
// segment that is nothing but a header with room for it.
func (m *tcpmssTarget) write(p *packet.Packet, n int, mss uint16) {
	h := p.Data[p.L4:]
	check := binary.BigEndian.Uint16(h[16:])
	for i := 20; i <= n-4; {
		if h[i] == 2 && h[i+1] == 4 {
			old := binary.BigEndian.Uint16(h[i+2:])
			if old <= mss {
				return
			}
			binary.BigEndian.PutUint16(h[i+2:], mss)
			// Linux does not ask whether the option stands at an odd offset,
			// and neither may we: the checksum then comes out wrong there too.
			check = packet.Replace16(check, old, mss)
			binary.BigEndian.PutUint16(h[16:], check)
			return
		}
		if h[i] < 2 || h[i+1] == 0 {
			i++
		} else {
			i += int(h[i+1])
		}
	}
	if len(h) > n || n >= 60 {
		return
	}
	p.Grow(4)
	h = p.Data[p.L4:]
	copy(h[24:], h[20:n])
	// What a sender without the option must be taken to mean (RFC 1122, 8200).
	def := uint16(536)
	if p.Family == packet.IPv6 {
		def = 1220
	}
	h[20], h[21] = 2, 4
	binary.BigEndian.PutUint16(h[22:], min(mss, def))
	check = packet.Replace16(check, uint16(n), uint16(n+4)) // length in the pseudo header
	check = packet.ReplaceBytes(check, []byte{0, 0, 0, 0}, h[20:24])
	word := binary.BigEndian.Uint16(h[12:])
	h[12] += 1 << 4
	check = packet.Replace16(check, word, binary.BigEndian.Uint16(h[12:]))
	binary.BigEndian.PutUint16(h[16:], check)
}

func (m *tcpmssTarget) AppendArgs(b []byte) []byte {
	if m.clamp {
		return args.Name(b, false, "clamp-mss-to-pmtu")
	}
	return args.Dec(args.Name(b, false, "set-mss"), uint64(m.mss))
}

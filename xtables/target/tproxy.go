package target

import (
	"encoding/binary"

	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/socket"
	"weir/xtables"
	"weir/xtables/args"
)

// TProxy is -j TPROXY: gives the packet to a transparent socket of this
// machine without changing it.
func TProxy() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "TPROXY", Families: xtables.Both,
		Tables: []string{"mangle"}, Points: hook.MaskOf(hook.Prerouting),
		Protos: []uint8{packet.TCP, packet.UDP}, NeedsDefrag: true,
		Options: one("on-port", "on-ip", "tproxy-mark"), Parse: parseTProxy,
		Doc: "all options; the sockets are those of the machine directory, or of the library's user",
	}
}

type tproxyTarget struct {
	family packet.Family
	port   uint16      // 0: the packet's own
	addr   packet.Addr // zero: the interface's, else the packet's own
	xmark
}

func parseTProxy(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "on-port"); err != nil {
		return nil, err
	}
	m := &tproxyTarget{family: c.Family}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "on-port":
			m.port, err = args.Port(g)
		case "on-ip":
			a, ok := args.Address(c.Family, args.Text(g))
			if !ok {
				err = args.Bad(g, "an address")
			}
			m.addr = a
		case "tproxy-mark":
			m.value, m.mask, err = args.MarkMask(g)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Do follows Linux net/netfilter/xt_TPROXY.c: a connected socket, else one
// that listens at the place that the rule names.
func (m *tproxyTarget) Do(t *hook.Traversal) xtables.Code {
	p := t.Pkt
	proto, off := p.Data[9], p.HeaderLen()
	if p.Family == packet.IPv6 {
		var ok bool
		if proto, off, _, ok = packet.FindLastHdr(p.Data); !ok {
			off = len(p.Data)
		}
	}
	if off+8 > len(p.Data) {
		t.Why = hook.ReasonNoSocket
		return xtables.Drop
	}
	b := p.Data[off:]
	q := socket.Query{Family: p.Family, Proto: proto, Src: p.Src(), Dst: p.Dst(), In: t.In,
		Sport: binary.BigEndian.Uint16(b), Dport: binary.BigEndian.Uint16(b[2:])}
	s := t.Env.FindSocket(q, socket.Connected)
	if s == nil || s.Waiting && opens(b) {
		to := q
		if to.Dst = m.addr; to.Dst.IsZero() {
			to.Dst = ownAddr(p.Family, t.In, q.Dst)
		}
		if m.port != 0 {
			to.Dport = m.port
		}
		if l := t.Env.FindSocket(to, socket.Listening); l != nil {
			s = l
		}
	}
	if s == nil || !s.Transparent {
		t.Why = hook.ReasonNoSocket
		return xtables.Drop
	}
	t.Mark = m.apply(t.Mark)
	t.Socket = s
	return xtables.Accept
}

// opens reports a segment that begins a connection and does nothing else.
func opens(b []byte) bool {
	const all = packet.TCPSyn | packet.TCPRst | packet.TCPAck | packet.TCPFin
	return len(b) >= 20 && b[13]&all == packet.TCPSyn
}

// ownAddr is the first address of the interface, of IPv6 the newest of the
// widest scope; dst if it has none. Linux: nf_tproxy_laddr4, nf_tproxy_laddr6.
func ownAddr(f packet.Family, dev *iface.Iface, dst packet.Addr) packet.Addr {
	found := dst
	if dev == nil {
		return found
	}
	link := false
	for i := range dev.Addrs {
		a := &dev.Addrs[i]
		ip := a.Prefix.Addr()
		switch {
		case packet.FamilyOf(ip) != f || a.Secondary || a.Deprecated:
		case f == packet.IPv4:
			return packet.AddrOf(ip)
		case found == dst || link || !ip.IsLinkLocalUnicast():
			found, link = packet.AddrOf(ip), ip.IsLinkLocalUnicast()
		}
	}
	return found
}

func (m *tproxyTarget) AppendArgs(b []byte) []byte {
	b = args.Dec(args.Name(b, false, "on-port"), uint64(m.port))
	b = args.Addr(append(args.Name(b, false, "on-ip"), ' '), m.family, m.addr)
	return args.HexMask(args.Name(b, false, "tproxy-mark"), uint64(m.value), uint64(m.mask), 0)
}

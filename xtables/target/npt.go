package target

import (
	"encoding/binary"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// SNPT is -j SNPT: exchanges the prefix of the source address (RFC 6296).
func SNPT() xtables.TargetExt { return npt("SNPT", hook.MaskOf(hook.Input, hook.Postrouting), 8) }

// DNPT is -j DNPT: exchanges the prefix of the destination address.
func DNPT() xtables.TargetExt { return npt("DNPT", hook.MaskOf(hook.Prerouting, hook.Output), 24) }

func npt(name string, points hook.Mask, at int) xtables.TargetExt {
	return xtables.TargetExt{
		Name: name, Families: xtables.V6, Tables: []string{"mangle"}, Points: points,
		Options: one("src-pfx", "dst-pfx"),
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
			return parseNPT(given, at)
		},
		Doc: "all options",
	}
}

type nptTarget struct {
	at         int // of the address in the header
	src, dst   packet.Addr
	srcN, dstN int
	adjust     uint16 // one's complement difference of the prefixes
}

func parseNPT(given []xtables.Given, at int) (xtables.Target, error) {
	m := &nptTarget{at: at}
	for _, n := range []string{"src-pfx", "dst-pfx"} {
		if err := args.Need(given, n); err != nil {
			return nil, err
		}
		g := args.Find(given, n)
		addr, bits, ok := strings.Cut(args.Text(g), "/")
		a, ok1 := args.Address(packet.IPv6, addr)
		v, ok2 := args.Number(bits, 0, 64)
		if !ok || !ok1 || !ok2 {
			return nil, args.Bad(g, "an IPv6 prefix of at most 64 bits")
		}
		mask := args.MaskOf(packet.IPv6, int(v))
		for i := range a {
			if a[i]&^mask[i] != 0 {
				return nil, args.Errorf(g, "--%s: %q has bits behind its prefix", n, args.Text(g))
			}
		}
		if n == "src-pfx" {
			m.src, m.srcN = a, int(v)
		} else {
			m.dst, m.dstN = a, int(v)
		}
	}
	m.adjust = packet.Fold(uint32(packet.Fold(packet.Sum(m.src[:], 0))) + uint32(^packet.Fold(packet.Sum(m.dst[:], 0))))
	return m, nil
}

// rewrite exchanges the prefix and makes up for it in a word that the
// checksum covers; false if there is none. Linux: ip6t_npt_map_pfx.
func (m *nptTarget) rewrite(a []byte) bool {
	n := max(m.srcN, m.dstN)
	mask := args.MaskOf(packet.IPv6, n)
	for i := range mask {
		a[i] = a[i]&^mask[i] | m.dst[i]&mask[i]
	}
	at := 6
	if n > 48 {
		for at = 8; at < 16 && a[at]&a[at+1] == 0xff; at += 2 {
		}
		if at == 16 {
			return false
		}
	}
	sum := packet.Fold(uint32(binary.BigEndian.Uint16(a[at:])) + uint32(m.adjust))
	if sum == 0xffff {
		sum = 0
	}
	binary.BigEndian.PutUint16(a[at:], sum)
	return true
}

// ICMPv6: parameter problem, erroneous header field.
const paramProblem = 4

// Do rewrites the address, and that of the packet quoted in an ICMPv6 error.
func (m *nptTarget) Do(t *hook.Traversal) xtables.Code {
	d := t.Pkt.Data
	if !m.rewrite(d[m.at : m.at+16]) {
		t.Env.Emit.ICMPError(t, paramProblem, 0, uint32(m.at))
		t.Why = hook.ReasonNATFailed
		return xtables.Drop
	}
	if q := 40 + 8; d[6] == packet.ICMPv6 && len(d) >= q+40 && d[40]&0x80 == 0 {
		// What was sent to the address here comes back from it there.
		in := d[q+32-m.at+0 : q+48-m.at]
		mask := args.MaskOf(packet.IPv6, m.srcN)
		same := true
		for i := range mask {
			same = same && (in[i]^m.src[i])&mask[i] == 0
		}
		if same {
			m.rewrite(in)
		}
	}
	return xtables.Continue
}

func (m *nptTarget) AppendArgs(b []byte) []byte {
	for _, p := range [...]struct {
		name string
		a    packet.Addr
		n    int
	}{{"src-pfx", m.src, m.srcN}, {"dst-pfx", m.dst, m.dstN}} {
		if p.a.IsZero() && p.n == 0 {
			continue
		}
		b = args.Addr(append(args.Name(b, false, p.name), ' '), packet.IPv6, p.a)
		b = append(b, '/')
		b = append(b, args.Dec(nil, uint64(p.n))[1:]...)
	}
	return b
}

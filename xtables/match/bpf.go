package match

import (
	"encoding/binary"
	"strconv"
	"strings"

	"weir/hook"
	"weir/internal/cbpf"
	"weir/xtables"
	"weir/xtables/args"
)

// BPF is -m bpf: a program of the classic packet filter.
func BPF() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "bpf", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "bytecode", Args: xtables.OneArg, NoInvert: true},
			{Name: "object-pinned", Args: xtables.OneArg, NoInvert: true},
		},
		Parse: parseBPF,
		Doc:   "--bytecode; --object-pinned is refused, since a program that was loaded into a kernel is not in a file",
	}
}

type bpfMatch struct{ prog cbpf.Program }

func parseBPF(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if g := args.Find(given, "object-pinned"); g != nil {
		return nil, args.Errorf(g, "--object-pinned: weir has no file system of programs; use --bytecode")
	}
	if err := args.Need(given, "bytecode"); err != nil {
		return nil, err
	}
	g := &given[0]
	prog, err := readBPF(args.Text(g))
	if err == nil {
		err = prog.Check()
	}
	if err != nil {
		return nil, args.Errorf(g, "--bytecode: %v", err)
	}
	return &bpfMatch{prog}, nil
}

// readBPF reads "LEN,CODE JT JF K,…" as iptables does: numbers are cut to
// their fields.
func readBPF(s string) (cbpf.Program, error) {
	parts := strings.Split(s, ",")
	if n := len(parts); n > 1 && strings.TrimSpace(parts[n-1]) == "" {
		parts = parts[:n-1]
	}
	n, err := strconv.ParseUint(strings.TrimSpace(parts[0]), 10, 16)
	if err != nil {
		return nil, cbpf.ErrText
	}
	if n == 0 || n > cbpf.MaxLen || int(n) != len(parts)-1 {
		return nil, cbpf.ErrLength
	}
	prog := make(cbpf.Program, n)
	for i, p := range parts[1:] {
		f := strings.Fields(p)
		if len(f) != 4 {
			return nil, cbpf.ErrText
		}
		var v [4]uint32
		for j := range f {
			v[j] = leadingInt(f[j])
		}
		prog[i] = cbpf.Insn{Code: uint16(v[0]), JT: uint8(v[1]), JF: uint8(v[2]), K: v[3]}
	}
	return prog, nil
}

// Match runs the program on the packet from its IP header on.
func (m *bpfMatch) Match(t *hook.Traversal) bool {
	meta := m.meta(t)
	if l := &t.Pkt.Link; l.HasMAC {
		meta.HasLink = true
		copy(meta.Link[:], l.Dst[:])
		copy(meta.Link[6:], l.Src[:])
		binary.BigEndian.PutUint16(meta.Link[12:], l.Proto)
	}
	return m.prog.Run(t.Pkt.Data, meta) != 0
}

// meta is what the program may ask beside the bytes.
func (m *bpfMatch) meta(t *hook.Traversal) cbpf.Meta {
	meta := cbpf.Meta{Mark: t.Mark, PktType: uint8(t.Pkt.Link.Type), IPv6: t.Pkt.Data[0]>>4 == 6}
	meta.NoLink = t.Local
	// The packet belongs to the device by which it came until it is about to
	// leave; one of this machine has none before.
	dev := t.In
	if t.Point == hook.Postrouting {
		dev = t.Out
	}
	if dev != nil {
		meta.IfIndex = uint32(dev.Index)
	}
	if t.Env != nil && t.Env.Rand != nil {
		meta.Rand = t.Env.Rand
	}
	return meta
}

func (m *bpfMatch) Explain(*hook.Traversal) string { return "the program returned 0" }

func (m *bpfMatch) AppendArgs(b []byte) []byte {
	b = append(args.Name(b, false, "bytecode"), ` "`...)
	b = strconv.AppendInt(b, int64(len(m.prog)), 10)
	for _, in := range m.prog {
		b = append(b, ',')
		b = strconv.AppendUint(b, uint64(in.Code), 10)
		for _, v := range []uint64{uint64(in.JT), uint64(in.JF), uint64(in.K)} {
			b = strconv.AppendUint(append(b, ' '), v, 10)
		}
	}
	return append(b, '"')
}

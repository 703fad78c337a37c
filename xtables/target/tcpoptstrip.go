package target

import (
	"encoding/binary"
	"strconv"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// TCPOptStrip is -j TCPOPTSTRIP: blanks options of a TCP header.
func TCPOptStrip() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "TCPOPTSTRIP", Families: xtables.Both, Tables: []string{"mangle"}, Protos: []uint8{packet.TCP},
		Options: one("strip-options"), Parse: parseStrip,
		Doc: "all options",
	}
}

type stripTarget struct{ kinds [256]bool }

func stripNames() []struct {
	name string
	kind uint8
} {
	return []struct {
		name string
		kind uint8
	}{{"wscale", 3}, {"mss", 2}, {"sack-permitted", 4}, {"sack", 5}, {"timestamp", 8}, {"md5", 19}}
}

func parseStrip(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	m := &stripTarget{}
	g := args.Find(given, "strip-options")
	if g == nil {
		return m, nil
	}
words:
	for _, w := range strings.Split(args.Text(g), ",") {
		n, ok := args.Number(w, 2, 255)
		for _, s := range stripNames() {
			if s.name == w {
				n, ok = uint64(s.kind), true
			}
		}
		switch {
		case !ok:
			return nil, args.Errorf(g, "--strip-options: no TCP option %q", w)
		case m.kinds[n]:
			return nil, args.Errorf(g, "--strip-options: %q is there already", w)
		default:
			m.kinds[n] = true
			continue words
		}
	}
	return m, nil
}

// Do overwrites options with "no operation" (Linux: net/netfilter/xt_TCPOPTSTRIP.c).
func (m *stripTarget) Do(t *hook.Traversal) xtables.Code {
	p := t.Pkt
	if p.FragOff != 0 {
		return xtables.Continue
	}
	p.Pull(len(p.Data))
	h := p.Payload()
	n := 0
	if len(h) >= 20 {
		n = int(h[12]>>4) * 4
	}
	if n < 20 || n > len(h) {
		t.Why = hook.ReasonMalformed
		return xtables.Drop
	}
	check := binary.BigEndian.Uint16(h[16:])
	for i := 20; i < n-1; {
		size := 1
		if h[i] > 1 && h[i+1] != 0 {
			size = int(h[i+1])
		}
		if i+size > n {
			break
		}
		if !m.kinds[h[i]] {
			i += size
			continue
		}
		for j := i; j < i+size; j++ {
			o := uint16(h[j])
			v := uint16(1)
			if j&1 == 0 {
				o, v = o<<8, v<<8
			}
			check = packet.Replace16(check, o, v)
			h[j] = 1
		}
		i += size
	}
	binary.BigEndian.PutUint16(h[16:], check)
	return xtables.Continue
}

func (m *stripTarget) AppendArgs(b []byte) []byte {
	first := true
	for i, on := range m.kinds {
		if !on {
			continue
		}
		if first {
			b = append(args.Name(b, false, "strip-options"), ' ')
		} else {
			b = append(b, ',')
		}
		b, first = strconv.AppendInt(b, int64(i), 10), false
	}
	return b
}

package target

import (
	"math"

	"weir/hook"
	"weir/packet"
	"weir/synproxy"
	"weir/xtables"
	"weir/xtables/args"
)

// SynProxy is -j SYNPROXY: answers for a server until the client has shown
// that it is there.
func SynProxy() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "SYNPROXY", Families: xtables.Both, Protos: []uint8{packet.TCP},
		Points:  hook.MaskOf(hook.Input, hook.Forward),
		Options: append(one("wscale", "mss"), flags("sack-perm", "timestamp", "ecn")...),
		Parse:   parseSynProxy, NeedsConntrack: true,
		Doc: "all options",
	}
}

type synProxyTarget struct{ synproxy.Server }

func parseSynProxy(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	m := &synProxyTarget{}
	for i := range given {
		g := &given[i]
		var n uint64
		var err error
		switch g.Name {
		case "sack-perm":
			m.Options |= synproxy.SackPerm
		case "timestamp":
			m.Options |= synproxy.Timestamp
		case "ecn":
			m.Options |= synproxy.ECN
		case "wscale":
			n, err = args.Uint(g, 0, math.MaxUint32) // the rest is cut off, as iptables does
			m.Options, m.Scale = m.Options|synproxy.WScale, uint8(n)
		case "mss":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.Options, m.MSS = m.Options|synproxy.MSS, uint16(n)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Do follows Linux net/netfilter/nf_synproxy_core.c.
func (m *synProxyTarget) Do(t *hook.Traversal) xtables.Code {
	switch kept, drop := synproxy.Target(t, &m.Server); {
	case drop:
		t.Why = hook.ReasonSynproxy
		return xtables.Drop
	case kept:
		t.Taken, t.Why = true, hook.ReasonSynproxy
		return xtables.Stolen
	}
	return xtables.Continue
}

func (m *synProxyTarget) AppendArgs(b []byte) []byte {
	if m.Options&synproxy.SackPerm != 0 {
		b = args.Name(b, false, "sack-perm")
	}
	if m.Options&synproxy.Timestamp != 0 {
		b = args.Name(b, false, "timestamp")
	}
	if m.Options&synproxy.WScale != 0 {
		b = args.Dec(args.Name(b, false, "wscale"), uint64(m.Scale))
	}
	if m.Options&synproxy.MSS != 0 {
		b = args.Dec(args.Name(b, false, "mss"), uint64(m.MSS))
	}
	if m.Options&synproxy.ECN != 0 {
		b = args.Name(b, false, "ecn")
	}
	return b
}

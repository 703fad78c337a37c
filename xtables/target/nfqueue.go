package target

import (
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// NFQueue is -j NFQUEUE: hands the packet to a listener.
func NFQueue() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "NFQUEUE", Families: xtables.Both,
		Options: append(one("queue-num", "queue-balance"), flags("queue-bypass", "queue-cpu-fanout")...),
		Parse:   parseNFQueue,
		Doc:     "all options; the queue of a balance is chosen by another hash than the kernel's, which is seeded at random; one processor",
	}
}

type nfqueueTarget struct {
	first, n       uint16
	bypass, fanout bool
}

func parseNFQueue(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Apart(given, "queue-num", "queue-balance"); err != nil {
		return nil, err
	}
	m := &nfqueueTarget{n: 1}
	for i := range given {
		g := &given[i]
		switch g.Name {
		case "queue-num":
			n, err := args.Uint(g, 0, 65535)
			if err != nil {
				return nil, err
			}
			m.first = uint16(n)
		case "queue-balance":
			lo, hi, _ := strings.Cut(args.Text(g), ":")
			a, ok1 := args.Number(lo, 0, 65535)
			b, ok2 := args.Number(hi, 0, 65535)
			if !ok1 || !ok2 || a >= b || b-a >= 65535 {
				return nil, args.Bad(g, "a range of queues first:last")
			}
			m.first, m.n = uint16(a), uint16(b-a+1)
		case "queue-bypass":
			m.bypass = true
		default:
			m.fanout = true
		}
	}
	if m.fanout {
		return m, args.Need(given, "queue-balance")
	}
	return m, nil
}

func (m *nfqueueTarget) Do(t *hook.Traversal) xtables.Code {
	t.QueueNum, t.QueueBypass = m.first, m.bypass
	if m.n > 1 && !m.fanout {
		t.QueueNum += uint16(uint64(flowHash(t.Pkt)) * uint64(m.n) >> 32)
	}
	return xtables.Queue
}

// flowHash is the same for both directions of a pair of addresses.
func flowHash(p *packet.Packet) uint32 {
	a, b := p.Src(), p.Dst()
	h := uint32(2166136261)
	for i := range a {
		h = (h ^ uint32(a[i]^b[i])) * 16777619
		h = (h ^ uint32(a[i]&b[i])) * 16777619
	}
	return h ^ h>>15
}

func (m *nfqueueTarget) AppendArgs(b []byte) []byte {
	if m.n > 1 {
		last := uint64(m.first) + uint64(m.n) - 1
		b = args.Range(args.Name(b, false, "queue-balance"), uint64(m.first), last)
	} else {
		b = args.Dec(args.Name(b, false, "queue-num"), uint64(m.first))
	}
	if m.bypass {
		b = args.Name(b, false, "queue-bypass")
	}
	if m.fanout {
		b = args.Name(b, false, "queue-cpu-fanout")
	}
	return b
}

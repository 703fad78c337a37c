package target

import (
	"encoding/binary"
	"strings"

	"weir/hook"
	"weir/internal/jhash"
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
		Doc:     "all options; `engine.Config.Queues` says who listens; the hash of a balance is the kernel's, its seed the machine's; one processor",
	}
}

type nfqueueTarget struct {
	first, n       uint16
	bypass, fanout bool
	seed           uint32
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

// Bind takes the seed of the hash.
func (m *nfqueueTarget) Bind(s *xtables.Shared) error {
	m.seed = s.HashSeed
	return nil
}

func (m *nfqueueTarget) Do(t *hook.Traversal) xtables.Code {
	t.QueueNum, t.QueueBypass = m.first, m.bypass
	if m.n > 1 && !m.fanout {
		t.QueueNum += uint16(uint64(queueHash(t.Pkt, m.seed)) * uint64(m.n) >> 32)
	}
	return xtables.Queue
}

// queueHash is the same for both directions of a pair of addresses. It takes
// words as they lie in a little-endian memory. Linux: hash_v4, hash_v6.
func queueHash(p *packet.Packet, seed uint32) uint32 {
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(p.Data[at:]) }
	if p.Family == packet.IPv4 {
		a, b := word(12), word(16)
		return jhash.Words([]uint32{min(a, b), max(a, b), uint32(p.Proto)}, seed)
	}
	a, b := word(20), word(36)
	return jhash.Words([]uint32{min(a, b), max(a, b), min(word(12), word(28))}, seed)
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

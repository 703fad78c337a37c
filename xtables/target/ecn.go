package target

import (
	"encoding/binary"
	"errors"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// ECN is -j ECN: takes congestion notification off a packet (RFC 3168).
func ECN() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "ECN", Families: xtables.V4, Tables: []string{"mangle"},
		Options: append(one("ecn-tcp-cwr", "ecn-tcp-ece", "ecn-ip-ect"), flags("ecn-tcp-remove")...),
		Parse:   parseECN,
		Doc:     "all options",
	}
}

type ecnTarget struct {
	remove  bool
	ip      bool
	ect     uint8
	tcpMask uint8 // flag bits to write
	tcpBits uint8
}

func parseECN(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "ecn-tcp-remove", "ecn-tcp-cwr", "ecn-tcp-ece", "ecn-ip-ect"); err != nil {
		return nil, err
	}
	m := &ecnTarget{}
	for i := range given {
		g := &given[i]
		bit, hi := uint8(0), uint64(1)
		switch g.Name {
		case "ecn-tcp-remove":
			m.remove = true
			m.tcpMask, m.tcpBits = packet.TCPEce|packet.TCPCwr, 0
			continue
		case "ecn-tcp-cwr":
			bit = packet.TCPCwr
		case "ecn-tcp-ece":
			bit = packet.TCPEce
		default:
			hi = 3
		}
		n, err := args.Uint(g, 0, hi)
		if err != nil {
			return nil, err
		}
		if bit == 0 {
			m.ip, m.ect = true, uint8(n)
			continue
		}
		m.tcpMask |= bit
		if m.tcpBits &^= bit; n != 0 {
			m.tcpBits |= bit
		}
	}
	if m.tcpMask != 0 && (c.Proto != packet.TCP || c.ProtoInvert) {
		return nil, errors.New("changing TCP's flags needs -p tcp")
	}
	return m, nil
}

func (m *ecnTarget) Do(t *hook.Traversal) xtables.Code {
	p := t.Pkt
	if m.ip {
		if old := p.TOS(); old&3 != m.ect {
			p.SetTOS(old&^3 | m.ect)
		}
	}
	if m.tcpMask == 0 || p.Proto != packet.TCP || p.FragOff != 0 {
		return xtables.Continue
	}
	h := p.Payload()
	if len(h) < 20 {
		t.Why = hook.ReasonMalformed
		return xtables.Drop
	}
	if flags := h[13]&^m.tcpMask | m.tcpBits; flags != h[13] {
		p.Pull(p.L4 + 20)
		old := binary.BigEndian.Uint16(h[12:])
		h[13] = flags
		check := packet.Replace16(binary.BigEndian.Uint16(h[16:]), old, binary.BigEndian.Uint16(h[12:]))
		binary.BigEndian.PutUint16(h[16:], check)
	}
	return xtables.Continue
}

func (m *ecnTarget) AppendArgs(b []byte) []byte {
	if m.remove {
		b = args.Name(b, false, "ecn-tcp-remove")
	} else {
		for _, f := range []struct {
			name string
			bit  uint8
		}{{"ecn-tcp-ece", packet.TCPEce}, {"ecn-tcp-cwr", packet.TCPCwr}} {
			if m.tcpMask&f.bit != 0 {
				v := uint64(0)
				if m.tcpBits&f.bit != 0 {
					v = 1
				}
				b = args.Dec(args.Name(b, false, f.name), v)
			}
		}
	}
	if m.ip {
		b = args.Dec(args.Name(b, false, "ecn-ip-ect"), uint64(m.ect))
	}
	return b
}

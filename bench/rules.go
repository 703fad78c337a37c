package main

import (
	"fmt"
	"strings"
)

// Rule is a rule of filter FORWARD that no packet of the traffic matches, in
// a form that every subject's own language can be made from.
type Rule struct {
	Src, Dst       uint32
	SrcLen, DstLen int // 0: any
	Proto          int // 0: any
	In, Out        string
	Ports          []uint16 // destination ports, 0 to 3
	Invalid        bool     // -m conntrack --ctstate INVALID
	Chain          []Rule   // jump to a chain of these
}

// MixedRules makes n rules: addresses, ports, interfaces, conntrack,
// multiport and user chains. Rules inside of chains count.
func MixedRules(n int) (rules []Rule) {
	r := random(42)
	// Ports that neither servers nor clients use.
	port := func() uint16 { return uint16(10000 + r.below(20000)) }
	lan := func() uint32 { return lanNet | uint32(1+r.below(4))<<16 | uint32(r.below(256))<<8 }
	server := func() uint32 { return serverNet | uint32(r.below(1<<17)) }
	for i := 0; n > 0; i++ {
		var x Rule
		switch i % 8 {
		case 0: // a blocked host
			x = Rule{Src: 172<<24 | 16<<16 | uint32(r.below(1<<20)), SrcLen: 32}
		case 1: // a service of one server
			x = Rule{Dst: server(), DstLen: 32, Proto: 6, Ports: []uint16{port()}}
		case 2: // a port, whoever asks
			x = Rule{Proto: 17, Ports: []uint16{port()}}
		case 3: // an interface that is quiet
			x = Rule{In: fmt.Sprintf("vpn%d", r.below(64)), Proto: 6}
			if i%16 > 8 {
				x = Rule{Out: fmt.Sprintf("dmz%d", r.below(64))}
			}
		case 4: // a subnet of the LAN and a port
			x = Rule{Src: lan(), SrcLen: 24, Proto: 6, Ports: []uint16{port()}}
		case 5: // connection state
			x = Rule{In: "lan0", Invalid: true}
			if i%16 > 8 {
				x = Rule{Dst: server() &^ 0xff, DstLen: 24, Invalid: true}
			}
		case 6: // several ports
			x = Rule{Proto: 6 + 11*(i/8%2), Ports: []uint16{port(), port(), port()}}
		case 7: // a chain for a subnet
			x = Rule{Src: lan() &^ 0xffff, SrcLen: 16}
			for j := 0; j < 4 && j < n-1; j++ {
				c := Rule{Dst: server(), DstLen: 32, Proto: 17, Ports: []uint16{port()}}
				if j%2 == 1 {
					c = Rule{Proto: 6, Ports: []uint16{port()}}
				}
				x.Chain = append(x.Chain, c)
			}
		}
		rules = append(rules, x)
		n -= 1 + len(x.Chain)
	}
	return rules
}

func quad(a uint32) string {
	return fmt.Sprintf("%d.%d.%d.%d", a>>24, a>>16&255, a>>8&255, a&255)
}

func (r *Rule) text(b *strings.Builder, chain, target string) {
	fmt.Fprintf(b, "-A %s", chain)
	if r.SrcLen > 0 {
		fmt.Fprintf(b, " -s %s/%d", quad(r.Src), r.SrcLen)
	}
	if r.DstLen > 0 {
		fmt.Fprintf(b, " -d %s/%d", quad(r.Dst), r.DstLen)
	}
	if r.In != "" {
		fmt.Fprintf(b, " -i %s", r.In)
	}
	if r.Out != "" {
		fmt.Fprintf(b, " -o %s", r.Out)
	}
	name := map[int]string{6: "tcp", 17: "udp"}[r.Proto]
	if name != "" {
		fmt.Fprintf(b, " -p %s", name)
	}
	if r.Invalid {
		b.WriteString(" -m conntrack --ctstate INVALID")
	}
	switch len(r.Ports) {
	case 0:
	case 1:
		fmt.Fprintf(b, " -m %s --dport %d", name, r.Ports[0])
	default:
		b.WriteString(" -m multiport --dports ")
		for i, p := range r.Ports {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(b, p)
		}
	}
	fmt.Fprintf(b, " -j %s\n", target)
}

// GatewayText is the masquerading gateway as iptables-save writes it, with
// the given rules before those that accept. All five tables are there.
func GatewayText(rules []Rule) string {
	var b, chains, bodies strings.Builder
	for _, t := range []string{
		"*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n",
		"*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n",
		"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o wan0 -j MASQUERADE\n",
		"*security\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n",
	} {
		b.WriteString(t + "COMMIT\n")
	}
	for i := range rules {
		r := &rules[i]
		if len(r.Chain) == 0 {
			r.text(&bodies, "FORWARD", "DROP")
			continue
		}
		name := fmt.Sprintf("zone%d", i)
		fmt.Fprintf(&chains, ":%s - [0:0]\n", name)
		r.text(&bodies, "FORWARD", name)
		for j := range r.Chain {
			r.Chain[j].text(&bodies, name, "DROP")
		}
	}
	b.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n")
	b.WriteString(chains.String() + bodies.String())
	b.WriteString("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -i lan0 -j ACCEPT\nCOMMIT\n")
	return b.String()
}

package main

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/header/parse"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// gvisorSubject is netstack between two channel endpoints. Its clock is the
// packets' clock, as weir's is.
type gvisorSubject struct {
	s      *stack.Stack
	clock  *faketime.ManualClock
	ep     [2]*channel.Endpoint // by the way of what arrives there
	addr   [2]stack.AddressableEndpoint
	routes [2]*stack.Route // by the way that a packet goes
	out    []byte

	hooks  bool
	batch  []Packet
	staged []*stack.PacketBuffer
}

var nicNames = [2]string{"lan0", "wan0"}

func (s *gvisorSubject) Variants() []string { return []string{"gvisor", "gvisor-hooks"} }
func (s *gvisorSubject) Translates() bool   { return true }

func (s *gvisorSubject) Open(_ int, rules []Rule) error {
	s.clock = faketime.NewManualClock()
	s.s = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
		Clock:              s.clock,
	})
	for i, prefix := range []tcpip.AddressWithPrefix{
		{Address: addr4(lanNet | 1), PrefixLen: 8},
		{Address: addr4(wanAddr), PrefixLen: 24},
	} {
		id := tcpip.NICID(i + 1)
		s.ep[i] = channel.New(8, 1500, "")
		if err := s.s.CreateNICWithOptions(id, s.ep[i], stack.NICOptions{Name: nicNames[i]}); err != nil {
			return errors.New(err.String())
		}
		a := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: prefix}
		if err := s.s.AddProtocolAddress(id, a, stack.AddressProperties{}); err != nil {
			return errors.New(err.String())
		}
		e, err := s.s.GetNetworkEndpoint(id, ipv4.ProtocolNumber)
		if err != nil {
			return errors.New(err.String())
		}
		s.addr[i] = e.(stack.AddressableEndpoint)
	}
	lan, err := tcpip.NewSubnet(addr4(lanNet), tcpip.MaskFromBytes([]byte{255, 0, 0, 0}))
	if err != nil {
		return err
	}
	s.s.SetRouteTable([]tcpip.Route{
		{Destination: lan, NIC: 1},
		{Destination: header.IPv4EmptySubnet, Gateway: addr4(203<<24 | 113<<8 | 1), NIC: 2},
	})
	if err := s.s.SetForwardingDefaultAndAllNICs(ipv4.ProtocolNumber, true); err != nil {
		return errors.New(err.String())
	}
	for w, to := range []uint32{Outward: serverNet, Inward: lanNet | 99} {
		r, err := s.s.FindRoute(tcpip.NICID(2-w), tcpip.Address{}, addr4(to), ipv4.ProtocolNumber, false)
		if err != nil {
			return errors.New(err.String())
		}
		s.routes[w] = r
	}
	t := s.s.IPTables()
	t.ReplaceTable(stack.NATID, gvisorNAT(), false)
	t.ReplaceTable(stack.FilterID, gvisorFilter(rules), false)
	return nil
}

func (s *gvisorSubject) Push(w Way, b []byte, now int64) []byte {
	s.inject(w, b)
	p := s.ep[1-w].Read()
	if p == nil {
		return nil
	}
	v := p.ToView()
	s.out = append(s.out[:0], v.AsSlice()...)
	v.Release()
	p.DecRef()
	return s.out
}

func (s *gvisorSubject) inject(w Way, b []byte) {
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	s.ep[w].InjectInbound(ipv4.ProtocolNumber, p)
	p.DecRef()
}

// Stage makes, for the hooks alone, the packet buffers that they take, parsed.
func (s *gvisorSubject) Stage(variant string, batch []Packet) {
	s.hooks = variant == "gvisor-hooks"
	s.batch = batch
	for _, p := range s.staged {
		p.DecRef()
	}
	s.staged = s.staged[:0]
	if !s.hooks {
		return
	}
	for i := range batch {
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(batch[i].Data)})
		p.NetworkProtocolNumber = ipv4.ProtocolNumber
		parse.IPv4(p)
		if p.TransportProtocolNumber = header.IPv4(p.NetworkHeader().Slice()).TransportProtocol(); p.TransportProtocolNumber == header.TCPProtocolNumber {
			parse.TCP(p)
		} else {
			parse.UDP(p)
		}
		s.staged = append(s.staged, p)
	}
}

func (s *gvisorSubject) Run(now, step int64) (left int) {
	s.clock.Advance(time.Duration(step * int64(len(s.batch))))
	if s.hooks {
		t := s.s.IPTables()
		for i, p := range s.staged {
			w := s.batch[i].Way
			if t.CheckPrerouting(p, s.addr[w], nicNames[w]) &&
				t.CheckForward(p, nicNames[w], nicNames[1-w]) &&
				t.CheckPostrouting(p, s.routes[w], s.addr[1-w], nicNames[1-w]) {
				left++
			}
		}
		return left
	}
	for i := range s.batch {
		w := s.batch[i].Way
		s.inject(w, s.batch[i].Data)
		if p := s.ep[1-w].Read(); p != nil {
			p.DecRef()
			left++
		}
	}
	return left
}

// Staged is a packet of the staged batch as the hooks have left it.
func (s *gvisorSubject) Staged(i int) []byte {
	v := s.staged[i].ToView()
	defer v.Release()
	return append([]byte(nil), v.AsSlice()...)
}

func (s *gvisorSubject) Version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, d := range b.Deps {
			if d.Path == "gvisor.dev/gvisor" {
				return d.Version
			}
		}
	}
	return "unknown"
}

func (s *gvisorSubject) Close() {
	if s.s == nil {
		return
	}
	for _, p := range s.staged {
		p.DecRef()
	}
	for _, r := range s.routes {
		r.Release()
	}
	s.s.Destroy()
	*s = gvisorSubject{}
}

func addr4(a uint32) tcpip.Address {
	return tcpip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

// ports matches destination ports: netstack itself has no such matcher, its
// users bring one.
type ports []uint16

// Match implements stack.Matcher.
func (m ports) Match(_ stack.Hook, p *stack.PacketBuffer, _, _ string) (bool, bool) {
	h := p.TransportHeader().Slice()
	if len(h) < 4 {
		return false, true
	}
	port := uint16(h[2])<<8 | uint16(h[3])
	for _, x := range m {
		if x == port {
			return true, false
		}
	}
	return false, false
}

// never stands for -m conntrack --ctstate INVALID, which netstack has not.
type never struct{}

// Match implements stack.Matcher.
func (never) Match(stack.Hook, *stack.PacketBuffer, string, string) (bool, bool) { return false, false }

// jump goes on at a rule.
type jump int

// Action implements stack.Target.
func (j jump) Action(*stack.PacketBuffer, stack.Hook, *stack.Route, stack.AddressableEndpoint) (stack.RuleVerdict, int) {
	return stack.RuleJump, int(j)
}

func accept4() stack.Target { return &stack.AcceptTarget{NetworkProtocol: header.IPv4ProtocolNumber} }
func drop4() stack.Target   { return &stack.DropTarget{NetworkProtocol: header.IPv4ProtocolNumber} }
func return4() stack.Target { return &stack.ReturnTarget{NetworkProtocol: header.IPv4ProtocolNumber} }
func any4() stack.IPHeaderFilter {
	return stack.EmptyFilter4()
}

func gvisorNAT() stack.Table {
	out := any4()
	out.OutputInterface = "wan0"
	masquerade := &stack.MasqueradeTarget{NetworkProtocol: header.IPv4ProtocolNumber}
	return stack.Table{
		Rules: []stack.Rule{
			{Filter: any4(), Target: accept4()},
			{Filter: any4(), Target: accept4()},
			{Filter: any4(), Target: accept4()},
			{Filter: out, Target: masquerade},
			{Filter: any4(), Target: accept4()},
			{Filter: any4(), Target: &stack.ErrorTarget{NetworkProtocol: header.IPv4ProtocolNumber}},
		},
		BuiltinChains: [stack.NumHooks]int{stack.Prerouting: 0, stack.Input: 1, stack.Forward: stack.HookUnset, stack.Output: 2, stack.Postrouting: 3},
		Underflows:    [stack.NumHooks]int{stack.Prerouting: 0, stack.Input: 1, stack.Forward: stack.HookUnset, stack.Output: 2, stack.Postrouting: 4},
	}
}

// gvisorFilter is the gateway's filter table. Netstack's tables do not see
// the state of a connection: a rule by interface and destination stands for
// the one that accepts ESTABLISHED.
func gvisorFilter(rules []Rule) stack.Table {
	t := stack.Table{Rules: []stack.Rule{{Filter: any4(), Target: accept4()}}}
	// User chains follow the built-in ones; where, is known beforehand.
	at := 1 + len(rules) + 2 + 1 + 1
	var chains []stack.Rule
	for i := range rules {
		r := rules[i].gvisor()
		if c := rules[i].Chain; len(c) > 0 {
			chains = append(chains, stack.Rule{Filter: any4(), Target: &stack.UserChainTarget{Name: fmt.Sprintf("zone%d", i), NetworkProtocol: header.IPv4ProtocolNumber}})
			r.Target = jump(at + len(chains))
			for j := range c {
				chains = append(chains, c[j].gvisor())
			}
			chains = append(chains, stack.Rule{Filter: any4(), Target: return4()})
		}
		t.Rules = append(t.Rules, r)
	}
	established, lan := any4(), any4()
	established.InputInterface = "wan0"
	established.Dst, established.DstMask = addr4(lanNet), addr4(0xff000000)
	lan.InputInterface = "lan0"
	t.Rules = append(t.Rules,
		stack.Rule{Filter: established, Target: accept4()},
		stack.Rule{Filter: lan, Target: accept4()},
		stack.Rule{Filter: any4(), Target: drop4()},
		stack.Rule{Filter: any4(), Target: accept4()})
	policy := len(t.Rules) - 2
	t.Rules = append(t.Rules, chains...)
	t.Rules = append(t.Rules, stack.Rule{Filter: any4(), Target: &stack.ErrorTarget{NetworkProtocol: header.IPv4ProtocolNumber}})
	t.BuiltinChains = [stack.NumHooks]int{stack.Prerouting: stack.HookUnset, stack.Input: 0, stack.Forward: 1, stack.Output: policy + 1, stack.Postrouting: stack.HookUnset}
	t.Underflows = [stack.NumHooks]int{stack.Prerouting: stack.HookUnset, stack.Input: 0, stack.Forward: policy, stack.Output: policy + 1, stack.Postrouting: stack.HookUnset}
	return t
}

func (r *Rule) gvisor() stack.Rule {
	f := any4()
	mask := func(n int) uint32 { return uint32(0xffffffff) << (32 - n) }
	if r.SrcLen > 0 {
		f.Src, f.SrcMask = addr4(r.Src), addr4(mask(r.SrcLen))
	}
	if r.DstLen > 0 {
		f.Dst, f.DstMask = addr4(r.Dst), addr4(mask(r.DstLen))
	}
	f.InputInterface, f.OutputInterface = r.In, r.Out
	if r.Proto != 0 {
		f.Protocol, f.CheckProtocol = tcpip.TransportProtocolNumber(r.Proto), true
	}
	x := stack.Rule{Filter: f, Target: drop4()}
	if r.Invalid {
		x.Matchers = append(x.Matchers, never{})
	}
	if len(r.Ports) > 0 {
		x.Matchers = append(x.Matchers, ports(r.Ports))
	}
	return x
}

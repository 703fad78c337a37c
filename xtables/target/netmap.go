package target

import (
	"strconv"

	"weir/hook"
	"weir/nat"
	"weir/xtables"
	"weir/xtables/args"
)

// Netmap is -j NETMAP: maps a whole network onto another, host by host.
func Netmap() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "NETMAP", Families: xtables.Both, Tables: []string{"nat"}, NeedsConntrack: true,
		Points:  hook.MaskOf(hook.Prerouting, hook.Input, hook.Output, hook.Postrouting),
		Options: one("to"), Parse: parseNetmap,
		Doc: "yes",
	}
}

type netmapTarget struct {
	to args.Subnet
	r  nat.Range
}

func parseNetmap(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "to"); err != nil {
		return nil, err
	}
	to, err := args.SubnetOf(c.Family, args.Find(given, "to"))
	m := &netmapTarget{to: to}
	for i := range c.Family.Len() {
		m.to.Addr[i] &= to.Mask[i]
		m.r.MinAddr[i] = m.to.Addr[i]
		m.r.MaxAddr[i] = m.to.Addr[i] | ^to.Mask[i]
	}
	m.r.Flags = nat.MapIPs
	return m, err
}

func (m *netmapTarget) Do(t *hook.Traversal) xtables.Code { return verdict(t, nat.Netmap(t, &m.r)) }

// AppendArgs prints the prefix length even when it is that of one address.
func (m *netmapTarget) AppendArgs(b []byte) []byte {
	b = args.Addr(append(args.Name(b, false, "to"), ' '), m.to.Family, m.to.Addr)
	return strconv.AppendUint(append(b, '/'), uint64(m.to.Bits), 10)
}

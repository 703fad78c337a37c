package match

import (
	"errors"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// physdevPorts is as long as the name of a port may be.
const physdevPorts = 15

// Physdev is -m physdev: the bridge ports by which a packet came and goes. A
// machine of weir's has no bridges, so that it answers as Linux does for
// packets that no bridge carries.
func Physdev() xtables.MatchExt {
	m := xtables.MatchExt{
		Name: "physdev", Families: xtables.Both, Parse: parsePhysdev, Check: checkPhysdev,
		Doc: "all options; there are no bridges, so that no packet came by a port of one",
	}
	for _, o := range physdevOptions() {
		m.Options = append(m.Options, xtables.Option{Name: o.name, Args: o.args})
	}
	return m
}

// physdevOptions are the options in the order in which iptables prints them.
func physdevOptions() [physdevOptionCount]struct {
	name string
	args xtables.Arity
} {
	return [...]struct {
		name string
		args xtables.Arity
	}{
		physdevIsIn: {name: "physdev-is-in"}, physdevIn: {"physdev-in", xtables.OneArg},
		physdevIsOut: {name: "physdev-is-out"}, physdevOut: {"physdev-out", xtables.OneArg},
		physdevIsBridged: {name: "physdev-is-bridged"},
	}
}

const (
	physdevIsIn = iota
	physdevIn
	physdevIsOut
	physdevOut
	physdevIsBridged
	physdevOptionCount
)

type physdevMatch struct {
	asked, not [physdevOptionCount]bool
	port       [physdevOptionCount]string
}

func parsePhysdev(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &physdevMatch{}
	var names []string
	for i, o := range physdevOptions() {
		names = append(names, o.name)
		g := args.Find(given, o.name)
		if g == nil {
			continue
		}
		m.asked[i], m.not[i] = true, g.Invert
		if o.args == xtables.OneArg {
			if m.port[i] = args.Text(g); len(m.port[i]) > physdevPorts {
				return nil, args.Errorf(g, "--%s: %q is longer than the %d characters of an interface name", o.name, m.port[i], physdevPorts)
			}
		}
	}
	for i := range m.asked {
		if m.asked[i] {
			return m, nil
		}
	}
	return nil, args.Need(given, names...)
}

func checkPhysdev(c *xtables.Context, x xtables.Match) error {
	m := x.(*physdevMatch)
	bridged := m.asked[physdevIsBridged] && !m.not[physdevIsBridged]
	if (m.asked[physdevOut] || m.asked[physdevIsOut]) && !bridged && c.Points.Has(hook.Output) {
		return errors.New("--physdev-out and --physdev-is-out are for bridged packets in FORWARD and POSTROUTING; in OUTPUT they need --physdev-is-bridged")
	}
	return nil
}

// Match is true if every question is inverted: the packet has no port.
// Linux: net/netfilter/xt_physdev.c, physdev_mt.
func (m *physdevMatch) Match(*hook.Traversal) bool {
	for i := range m.asked {
		if m.asked[i] && !m.not[i] {
			return false
		}
	}
	return true
}

// Explain says why in a trace.
func (m *physdevMatch) Explain(*hook.Traversal) string { return "came by no bridge" }

func (m *physdevMatch) AppendArgs(b []byte) []byte {
	for i, o := range physdevOptions() {
		if !m.asked[i] {
			continue
		}
		b = args.Name(b, m.not[i], o.name)
		if o.args == xtables.OneArg {
			b = args.Word(b, m.port[i])
		}
	}
	return b
}

package gateway

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"weir/dnsset"
	"weir/engine"
	"weir/iface"
	"weir/ipset"
	"weir/machine"
	"weir/packet"
	"weir/xtables"
)

// Reload reads the machine's directory again and swaps rules, routes and
// addresses whole, between packets. If anything is wrong, or changed that a
// running gateway cannot change, nothing changes at all and every reason is
// returned. Connections stay, as after iptables-restore.
func (g *Gateway) Reload() []error {
	g.loading.Lock()
	defer g.loading.Unlock()
	m, errs := machine.Load(g.mach.Dir)
	if len(errs) > 0 {
		return errs
	}
	if errs := g.address(m); len(errs) > 0 {
		return errs
	}
	if errs := fixed(g.mach, m); len(errs) > 0 {
		return errs
	}
	g.eng.Do(func() {
		back := func() {} // to the sets that the rules still use
		if !bytes.Equal(g.mach.IPSets.Text, m.IPSets.Text) {
			var fresh *ipset.Sets
			if fresh, errs = g.parseSets(m); len(errs) > 0 {
				return
			}
			old := g.eng.SetSets(fresh)
			back = func() { g.eng.SetSets(old) }
			defer func() {
				if len(errs) > 0 {
					back()
					return
				}
				for _, name := range unchanged(g.mach.IPSets.Text, m.IPSets.Text) {
					fresh.Keep(name, old)
				}
			}()
		}
		var sets []*xtables.Ruleset
		for _, x := range []struct {
			f packet.Family
			t machine.File
		}{{packet.IPv4, m.Rules4}, {packet.IPv6, m.Rules6}} {
			rs, es := g.eng.ParseRules(x.f, engine.Text(x.t))
			errs = append(errs, es...)
			sets = append(sets, rs)
		}
		if len(errs) > 0 {
			return
		}
		sysctls := !maps.Equal(g.mach.Sysctl, m.Sysctl)
		if sysctls {
			if errs = g.eng.SetSysctls(m.Sysctl); len(errs) > 0 {
				return
			}
			defer func() {
				if len(errs) > 0 {
					errs = append(errs, g.eng.SetSysctls(g.mach.Sysctl)...)
					return
				}
				g.routes6.Store(forwards6(m))
			}()
		}
		before := g.eng.Rules(packet.IPv4)
		if errs = g.eng.SetRules(sets[0]); len(errs) > 0 {
			return
		}
		if errs = g.eng.SetRules(sets[1]); len(errs) > 0 {
			back()
			errs = append(errs, g.eng.SetRules(before)...)
			return
		}
		if sysctls || !sameNetwork(g.mach, m) {
			g.eng.SetNetwork(m.Ifaces, m.Routes, g.clock())
			for _, p := range g.ports {
				if p.local {
					p.iface.Store(g.eng.Routes().Loopback())
				} else {
					p.iface.Store(g.eng.Ifaces().Name(p.name))
				}
			}
		}
	})
	if len(errs) == 0 {
		g.mach = m
		g.log.Info("reloaded", "machine", m.Dir)
	}
	return errs
}

// fixed says what differs between two machines that cannot change while the
// gateway runs.
func fixed(a, b *machine.Machine) (errs []error) {
	refuse := func(what string) {
		errs = append(errs, fmt.Errorf("%s: %s: this changes only with a restart", b.Dir, what))
	}
	if !slices.EqualFunc(a.Ifaces, b.Ifaces, func(x, y *iface.Iface) bool {
		return x.Index == y.Index && x.Name == y.Name && x.MTU == y.MTU && x.MAC == y.MAC
	}) {
		refuse("other interfaces")
	}
	if !slices.EqualFunc(a.Links, b.Links, func(x, y machine.Link) bool {
		return x.Iface.Name == y.Iface.Name && x.Kind == y.Kind && x.Device == y.Device
	}) || a.LocalTUN != b.LocalTUN {
		refuse("other links")
	}
	if !slices.Equal(a.Policy, b.Policy) {
		refuse("other policy rules")
	}
	if !slices.Equal(a.Listen, b.Listen) {
		refuse("other sockets")
	}
	for _, f := range []struct {
		what string
		a, b machine.File
	}{
		{"names", a.Names, b.Names}, {"labels", a.Labels, b.Labels},
		{"accounting objects", a.Accounts, b.Accounts}, {"timeout policies", a.Timeouts, b.Timeouts},
		{"fingerprints", a.Fingerprints, b.Fingerprints},
	} {
		if !bytes.Equal(f.a.Text, f.b.Text) {
			refuse("other " + f.what + " in " + cmp.Or(f.b.Name, f.a.Name))
		}
	}
	if a.Complete4 != b.Complete4 || a.Complete6 != b.Complete6 {
		refuse("routes with and without the table local")
	}
	return errs
}

// parseSets reads the sets of a machine, and checks those that DNS fills.
func (g *Gateway) parseSets(m *machine.Machine) (*ipset.Sets, []error) {
	sets, errs := g.eng.ParseSets(engine.Text(m.IPSets), g.clock())
	if len(errs) > 0 || m.Names.Text == nil {
		return sets, errs
	}
	names, errs := dnsset.Parse(m.Names.Name, m.Names.Text)
	if len(errs) == 0 {
		errs = dnsset.Check(sets, names)
	}
	return sets, errs
}

// unchanged is the sets of which two texts of ipset save say the same, so that
// what was added since then stays. Texts with other commands than create and
// add have none.
func unchanged(a, b []byte) (names []string) {
	x, y := setLines(a), setLines(b)
	for name, lines := range x {
		if y[name] == lines {
			names = append(names, name)
		}
	}
	return names
}

// setLines is the lines of each set.
func setLines(text []byte) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(string(text)) {
		w := strings.Fields(line)
		switch {
		case len(w) == 0 || w[0][0] == '#':
		case len(w) > 1 && (w[0] == "create" || w[0] == "add"):
			all[w[1]] += strings.Join(w, " ") + "\n"
		default:
			return nil
		}
	}
	return all
}

// sameNetwork says that addresses and routes are the same.
func sameNetwork(a, b *machine.Machine) bool {
	return reflect.DeepEqual(a.Ifaces, b.Ifaces) && reflect.DeepEqual(a.Routes, b.Routes)
}

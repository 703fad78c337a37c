package corpus

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/internal/gen"
	"weir/packet"
	"weir/route"
	"weir/xtables/save"
	"weir/xtables/std"
)

// TestRuleSetsClassified walks real rule sets rule by rule and classified, and
// compares fate, bytes and every counter.
func TestRuleSetsClassified(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(dir(t, "rulesets"), "*.rules"))
	if len(files) == 0 {
		t.Fatal("no rule sets")
	}
	packets, sets := 0, 0
	for _, file := range files {
		name := filepath.Base(file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := familyOf(name)
		if _, errs := save.Parse(name, b, f, std.List()); len(errs) > 0 {
			t.Logf("left out: %v", errs[0])
			continue
		}
		sets++
		for seed := range uint64(3) {
			m := materialOf(string(b), f == packet.IPv6)
			scanned, classified := routerOf(t, &m, f, b, true), routerOf(t, &m, f, b, false)
			now := int64(1e18)
			for i, p := range m.traffic(rand.New(rand.NewPCG(seed, 8)), 400, true) {
				now += 1e6
				packets++
				if x, y := fate(scanned, p, now), fate(classified, p, now); x != y {
					t.Fatalf("%s seed %d packet %d %s %x:\nscanned    %s\nclassified %s", name, seed, i, p.In, p.Data, x, y)
				}
			}
			if x, y := save.Append(nil, scanned.Rules(f), true), save.Append(nil, classified.Rules(f), true); !bytes.Equal(x, y) {
				t.Fatalf("%s seed %d: counters differ:\nscanned\n%s\nclassified\n%s", name, seed, x, y)
			}
		}
	}
	t.Logf("%d rule sets, %d packets", sets, packets)
}

// routerOf is the material's machine with the rules, every chain of them
// classified unless they are interpreted.
func routerOf(t *testing.T, m *material, f packet.Family, rules []byte, interpret bool) *engine.Machine {
	t.Helper()
	cfg := engine.Config{Seed: 1, Interpret: interpret, Forgetful: interpret,
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}}
	mm := m.machine()
	for i, k := range mm.Ifaces {
		dev := &iface.Iface{Index: i + 2, Name: k.Name, MTU: k.MTU}
		for _, a := range k.Addrs {
			dev.Addrs = append(dev.Addrs, iface.Addr{Prefix: a})
		}
		cfg.Ifaces = append(cfg.Ifaces, dev)
	}
	for _, r := range mm.Routes {
		cfg.Routes = append(cfg.Routes, route.Route{To: r.To, Dev: cfg.Ifaces[len(cfg.Ifaces)-1], Type: route.Unicast})
	}
	e, errs := engine.New(cfg)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	file, errs := save.Parse("rules", rules, f, std.List())
	if len(errs) == 0 {
		file.Rules.Compile(true)
		errs = e.SetRules(file.Rules)
	}
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return e
}

func fate(m *engine.Machine, p gen.Packet, now int64) string {
	var r engine.Result
	if d := bytes.Clone(p.Data); p.In == gen.Local {
		r = m.Send(d, &hook.Owner{UID: 1000, GID: 1000}, now)
	} else {
		r = m.Receive(m.Ifaces().Name(p.In), packet.Link{}, d, now)
	}
	s := fmt.Sprint(r.Verdict, r.Reason, r.CT.State())
	for _, o := range r.Out {
		s += fmt.Sprintf(" %s %x", o.Dev.Name, o.Data)
	}
	return s
}

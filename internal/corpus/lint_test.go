package corpus

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/engine"
	"weir/internal/gen"
	"weir/lint"
	"weir/packet"
)

// TestLintSaysNothingFalse lints the rule sets and lets random packets look for
// one that matches a rule which is said to be dead. What is found stands, by
// its number, in docs/lint.md.
func TestLintSaysNothingFalse(t *testing.T) {
	d := dir(t, "rulesets")
	files, _ := filepath.Glob(filepath.Join(d, "*.rules"))
	if len(files) == 0 {
		t.Fatal("no rule sets")
	}
	ids := map[lint.ID]int{}
	sets, packets, dead, shown := 0, 0, 0, 0
	for _, file := range files {
		name := filepath.Base(file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := familyOf(name)
		text := engine.Text{Name: name, Text: b}
		sets++
		rs, errs := engine.ParseRules(f, text)
		if len(errs) > 0 {
			sets--
			t.Logf("left out: %v", errs[0])
			continue
		}
		cfg := lint.Imagine(rs)
		if f == packet.IPv6 {
			cfg.Rules6 = text
		} else {
			cfg.Rules4 = text
		}
		m, errs := engine.New(cfg)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		said := map[int]*lint.Finding{}
		found := lint.Check(rs, m)
		for i := range found {
			ids[found[i].ID]++
			if found[i].Dead {
				said[found[i].Line] = &found[i]
				dead++
				if len(found[i].Packets) > 0 {
					shown++
				}
			}
		}
		mat := materialOf(string(b), f == packet.IPv6)
		mat.devs = nil
		for _, i := range cfg.Ifaces {
			mat.devs = append(mat.devs, i.Name)
			for _, a := range i.Addrs {
				if a.Prefix.Addr().Is6() == (f == packet.IPv6) {
					mat.addrs = append(mat.addrs, a.Prefix.Addr())
				}
			}
		}
		list := mat.traffic(rand.New(rand.NewPCG(1, 3)), 500, true)
		packets += len(list)
		for i, p := range list {
			now := int64(1e18) + int64(i)*1e7
			if p.In == gen.Local {
				m.Send(p.Data, nil, now)
			} else {
				m.Receive(m.Ifaces().Name(p.In), packet.Link{}, p.Data, now)
			}
		}
		for _, tb := range m.Rules(f).Tables {
			for _, c := range tb.Chains {
				for i, r := range c.Rules {
					if x := said[r.Pos.Line]; x != nil && tb.Counter(c, i).Packets > 0 {
						t.Errorf("%d packets match\n%s", tb.Counter(c, i).Packets, x.AppendText(nil, false))
					}
				}
			}
		}
	}
	var kinds []string
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", ids[id], id))
	}
	onPage(t, "lint.md", fmt.Sprintf("%d rule sets: %s.\n%d rules are said to be dead, %d of them with a packet that shows it; of %d random packets none matches one.\n",
		sets, strings.Join(kinds, ", "), dead, shown, packets))
}

// onPage finds the figures of a test in a page of docs.
func onPage(t *testing.T, page, figures string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(figures)
	if !strings.Contains(string(b), figures) {
		t.Errorf("docs/%s has other figures than\n%s", page, figures)
	}
}

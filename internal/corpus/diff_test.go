package corpus

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/diff"
	"weir/engine"
	"weir/internal/gen"
	"weir/lint"
	"weir/packet"
)

// TestDiffFindsADeletedRule deletes a rule of each rule set. If random packets
// show it, a search has to find a packet that does.
func TestDiffFindsADeletedRule(t *testing.T) {
	d := dir(t, "rulesets")
	files, _ := filepath.Glob(filepath.Join(d, "*.rules"))
	if len(files) == 0 {
		t.Fatal("no rule sets")
	}
	shown, found, sets := 0, 0, 0
	for n, file := range files {
		name := filepath.Base(file)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := familyOf(name)
		ls := strings.Split(string(b), "\n")
		r := rand.New(rand.NewPCG(uint64(n), 11))
		var at []int
		for i, l := range ls {
			if strings.HasPrefix(l, "-A") {
				at = append(at, i)
			}
		}
		if len(at) == 0 || len(at) > 1000 || strings.Contains(string(b), "--mode random") {
			continue
		}
		i := at[r.IntN(len(at))]
		texts := [2]string{string(b), strings.Join(slices.Delete(slices.Clone(ls), i, i+1), "\n")}
		var side [2]diff.Subject
		rs, errs := engine.ParseRules(f, engine.Text{Name: name, Text: b})
		if len(errs) > 0 {
			continue
		}
		sets++
		var ms [2]*engine.Machine
		for k := range side {
			c := lint.Imagine(rs)
			if text := (engine.Text{Name: name, Text: []byte(texts[k])}); f == packet.IPv6 {
				c.Rules6 = text
			} else {
				c.Rules4 = text
			}
			side[k] = diff.Subject{Name: name, Config: c, Imagined: true}
			if ms[k], errs = engine.New(c); len(errs) > 0 {
				t.Fatal(errs)
			}
		}
		mat := materialOf(string(b), f == packet.IPv6)
		mat.devs = nil
		for _, i := range side[0].Config.Ifaces {
			mat.devs = append(mat.devs, i.Name)
			for _, a := range i.Addrs {
				if a.Prefix.Addr().Is6() == (f == packet.IPv6) {
					mat.addrs = append(mat.addrs, a.Prefix.Addr())
				}
			}
		}
		differ := ""
		for k, p := range mat.traffic(r, 800, true) {
			now := int64(1e18) + int64(k)*1e7
			var what [2]string
			for side, m := range ms {
				data := slices.Clone(p.Data)
				var res engine.Result
				if p.In == gen.Local {
					res = m.Send(data, nil, now)
				} else {
					res = m.Receive(m.Ifaces().Name(p.In), packet.Link{}, data, now)
				}
				what[side] = string(res.Verdict)
				for _, o := range res.Out {
					if o.Data[0]>>4 == 4 { // the identification hangs on what was sent before
						o.Data[4], o.Data[5], o.Data[10], o.Data[11] = 0, 0, 0, 0
					}
					what[side] += fmt.Sprintf(" %s %x", o.Dev.Name, o.Data)
				}
			}
			if what[0] != what[1] {
				differ = fmt.Sprintf("packet %d: %s, %s", k, what[0], what[1])
				break
			}
		}
		got, errs := diff.Search(side[0], side[1], 5)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		if len(got.Differences) > 0 {
			found++
		}
		if differ == "" {
			continue
		}
		shown++
		if len(got.Differences) == 0 {
			t.Errorf("%s without line %d: %s\n%s", name, i+1, ls[i], differ)
		}
	}
	onPage(t, "diff.md", fmt.Sprintf("%d rule sets with one rule deleted from each: 800 random packets show %d of the deletions, the search %d, those %[2]d among them.\n", sets, shown, found))
}

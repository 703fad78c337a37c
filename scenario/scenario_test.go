package scenario

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/xtables"
	"weir/xtables/std"
)

// TestScenarios runs every scenario file of the project.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("../testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario files: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, errs := Parse(filepath.Base(name), src)
			for _, e := range errs {
				t.Error(e)
			}
			if t.Failed() {
				return
			}
			if len(f.Doc) < 20 {
				t.Error("the comment on top says too little about what there is to learn")
			}
			got, errs := f.Run()
			for _, e := range errs {
				t.Error(e)
			}
			if t.Failed() {
				return
			}
			if again, _ := f.Run(); again != got {
				t.Errorf("two runs differ:\n%s\n%s", got, again)
			}
			if !Same(f.Want, got) {
				t.Errorf("%s:%d: not as wanted; \"make record\" asks Linux again\n%s", f.Name, f.WantLine, diff(f.Want, got))
			}
		})
	}
}

// TestExtensions runs the scenario of every extension.
func TestExtensions(t *testing.T) {
	files, err := filepath.Glob("../testdata/extensions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenario files: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s, errs := ParseSheet(filepath.Base(name), src)
			for _, e := range errs {
				t.Error(e)
			}
			if t.Failed() {
				return
			}
			if len(s.Doc) < 20 {
				t.Error("the comment on top says too little about what there is to learn")
			}
			got, errs := s.Run()
			for _, e := range errs {
				t.Error(e)
			}
			if got = s.Compact(got); !t.Failed() && !Same(s.Want, got) {
				t.Errorf("%s:%d: not as wanted; \"make record\" asks Linux again\n%s", s.Name, s.WantLine, diff(s.Want, got))
			}
		})
	}
}

// refusedOptions are options that no sheet has, with the reason.
func refusedOptions() map[string]string {
	return map[string]string{
		"-m bpf --object-pinned": "there is no file system of programs",
		"-j CT --timeout":        "nfct(8), which makes the policies, is not everywhere; internal/linuxdiff compares with the kernel where it is",
		"-j TEE --oif":           "a copy goes by its route only",
	}
}

// TestEveryOptionHasAScenario finds each option of each extension, and where it
// takes one its "!", in a rule of the extension's sheet that Linux loads.
func TestEveryOptionHasAScenario(t *testing.T) {
	refused := refusedOptions()
	check := func(kind, flag, name, refuse string, opts []xtables.Option) {
		if refuse != "" {
			return
		}
		file := kind + "-" + name + ".txt"
		src, err := os.ReadFile("../testdata/extensions/" + file)
		if err != nil {
			t.Errorf("%s %s has no sheet: %v", flag, name, err)
			return
		}
		s, errs := ParseSheet(file, src)
		for _, e := range errs {
			t.Error(e)
		}
		text := ""
		s.Rules(func(rule string, no bool) {
			if _, after, ok := strings.Cut(" "+rule+" ", " "+flag+" "+name+" "); ok && !no {
				text += after
			}
		})
		if len(opts) == 0 && s.Want == "" {
			t.Errorf("%s: no rule", file)
		}
		for _, o := range opts {
			if o.Beyond {
				continue // there is nothing to record; internal/rfc tests it
			}
			if refused[flag+" "+name+" --"+o.Name] != "" {
				delete(refused, flag+" "+name+" --"+o.Name)
				continue
			}
			// An option that is known by "!" alone, as --update-counters.
			plain, not := strings.Contains(strings.ReplaceAll(text, "! --"+o.Name+" ", ""), " --"+o.Name+" ") ||
				strings.HasPrefix(text, "--"+o.Name+" "), strings.Contains(text, "! --"+o.Name+" ")
			if !plain && !(not && strings.HasPrefix(o.Name, "update-")) {
				t.Errorf("%s: no rule with --%s", file, o.Name)
			}
			if !o.NoInvert && !not {
				t.Errorf("%s: no rule with ! --%s", file, o.Name)
			}
		}
	}
	for _, m := range std.Matches() {
		check("match", "-m", m.Name, m.Refuse, m.Options)
	}
	for _, g := range std.Targets() {
		check("target", "-j", g.Name, g.Refuse, g.Options)
	}
	for o := range refused {
		t.Errorf("%s: there is no such option", o)
	}
}

// diff marks the lines that only one side has: -want +got.
func diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if SameLine(a[i], b[i]) {
			a[i] = b[i]
		}
	}
	// lcs[i][j] is the length of the longest common run of a[i:] and b[j:].
	lcs := make([][]int, len(a)+1)
	for i := range lcs {
		lcs[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out.WriteString("  " + a[i] + "\n")
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && lcs[i+1][j] >= lcs[i][j+1]:
			out.WriteString("- " + a[i] + "\n")
			i++
		default:
			out.WriteString("+ " + b[j] + "\n")
			j++
		}
	}
	return out.String()
}

func TestErrorsOfAFileHaveTheirPlace(t *testing.T) {
	const file = `# A file with mistakes.
-- machine --
interfaces: [{name: lan0, addresses: [192.0.2.1/24]}]
-- rules.v4 --
-- packets --
# nothing
lan7 udp 192.0.2.2:1 > 192.0.2.1:2
lan0 udp 192.0.2.2:1 > 192.0.2.1
-- machine --
-- what --
`
	_, errs := Parse("f.txt", []byte(file))
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	want := []string{
		"f.txt:9:4: section machine stands too late or twice; the order is machine, rules.v4, rules.v6, packets, want",
		"f.txt:10:4: no section is called what: machine, rules.v4, rules.v6, packets, want",
	}
	if len(got) < 2 || !slices.Equal(got[:2], want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, errs = Parse("f.txt", []byte(strings.Split(file, "-- machine --\n-- what")[0]))
	got = got[:0]
	for _, e := range errs {
		got = append(got, e.Error())
	}
	want = []string{
		"f.txt:7:1: the machine has no interface lan7",
		"f.txt:8:24: udp needs ports: 192.0.2.1:80",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

package save_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/internal/gen"
	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

// unreadable says that iptables-save prints what iptables-restore then refuses:
// more than 2^31 seconds of -m recent as a negative number, and no days at all.
func unreadable(printed string) bool {
	for _, s := range []string{"--seconds -", "--monthdays  ", "--weekdays  "} {
		if strings.Contains(printed, s) {
			return true
		}
	}
	return false
}

// fixed checks that a text prints to a fixed point, and formats to one that
// loads the same rules. It says whether the text loads.
func fixed(t *testing.T, name string, src []byte, f packet.Family) bool {
	t.Helper()
	file, errs := save.Parse(name, src, f, std.List())
	if len(errs) > 0 {
		if _, ferrs := save.Format(name, src, f, std.List()); len(ferrs) == 0 {
			t.Errorf("%s: does not load, but formats: %v\n%s", name, errs[0], src)
		}
		return false
	}
	once := save.Print(file)
	if unreadable(string(once)) {
		return true
	}
	printed := func(what string, text []byte) {
		t.Helper()
		again, errs := save.Parse(name, text, f, std.List())
		if len(errs) > 0 {
			t.Errorf("%s: %s does not load: %v\n%s", name, what, errs[0], text)
		} else if twice := save.Print(again); string(twice) != string(once) {
			t.Errorf("%s: printed:\n%s%s prints:\n%s", name, once, what, twice)
		}
	}
	printed("what it prints", once)
	lines, errs := save.Format(name, src, f, std.List())
	if len(errs) > 0 {
		t.Errorf("%s: loads, but does not format: %v\n%s", name, errs[0], src)
		return true
	}
	text := save.Text(lines)
	printed("its canonical form", text)
	if lines, errs = save.Format(name, text, f, std.List()); len(errs) > 0 || string(save.Text(lines)) != string(text) {
		t.Errorf("%s: formatted:\n%sthen: %v\n%s", name, text, errs, save.Text(lines))
	}
	return true
}

// TestPrintIsAFixedPoint prints and formats the rules of random machines, the
// examples and, where it stands, the corpus.
func TestPrintIsAFixedPoint(t *testing.T) {
	loaded, tried := 0, 0
	try := func(name string, src []byte, f packet.Family) {
		tried++
		if fixed(t, name, src, f) {
			loaded++
		}
	}
	for seed := range uint64(400) {
		c := gen.New(seed, gen.Options{}).Case
		try("rules.v4", []byte(c.Rules4), packet.IPv4)
		try("rules.v6", []byte(c.Rules6), packet.IPv6)
	}
	if loaded != tried {
		t.Errorf("of %d random rule sets %d load", tried, loaded)
	}
	for _, pattern := range []string{"../../examples/*/rules.v[46]", corpus + "/rulesets/*.rules", corpus + "/rulesets-saved/*.save"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f := packet.IPv4
			if strings.HasSuffix(name, "6") || strings.Contains(name, "ip6tables") || strings.HasSuffix(name, "-v6.rules") {
				f = packet.IPv6
			}
			try(filepath.Base(name), b, f)
		}
	}
	if b, err := os.ReadFile(filepath.Join(corpus, "iptables-t.tsv")); err == nil {
		for l := range strings.Lines(string(b)) {
			w := strings.Split(l, "\t")
			if len(w) > 10 && w[10] == "OK" {
				try(w[0], []byte("*"+w[6]+"\n-A "+w[7]+" "+w[8]+"\nCOMMIT\n"), familyOf(w[5]))
			}
		}
	}
	t.Logf("%d texts, %d load", tried, loaded)
}

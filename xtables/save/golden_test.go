package save_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is one case of a golden file:
//
//	== what it is about
//	text that is read
//	-- ok, or refused
//	what is printed, or the errors
//
// A name that ends in "(ipv6)" is for ip6tables. "(differs)" marks a case in
// which weir does on purpose not what iptables does.
type golden struct {
	name, text, result, want string
}

func (g *golden) family() packet.Family {
	if strings.Contains(g.name, "(ipv6)") {
		return packet.IPv6
	}
	return packet.IPv4
}

// run reads the case's text.
func (g *golden) run() (result, out string) {
	f, errs := save.Parse("rules", []byte(g.text), g.family(), std.List())
	if len(errs) == 0 {
		return "ok", string(save.Print(f))
	}
	for _, err := range errs {
		out += err.Error() + "\n"
	}
	return "refused", out
}

func readGolden(t testing.TB, name string) (cases []golden) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split("\n"+string(b), "\n== ")[1:] {
		head, rest, _ := strings.Cut(part, "\n")
		text, rest, _ := strings.Cut(rest, "\n-- ")
		result, want, _ := strings.Cut(rest, "\n")
		cases = append(cases, golden{head, text + "\n", result, strings.TrimSuffix(want, "\n") + "\n"})
	}
	return cases
}

func goldenFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files (%v)", err)
	}
	return files
}

// TestGolden pins what is printed for each text, and the place and words of
// each error. What is printed must be read again as the same.
func TestGolden(t *testing.T) {
	for _, file := range goldenFiles(t) {
		cases := readGolden(t, file)
		var b bytes.Buffer
		for _, g := range cases {
			result, out := g.run()
			b.WriteString("== " + g.name + "\n" + g.text + "-- " + result + "\n" + out)
			t.Run(filepath.Base(file)+"/"+g.name, func(t *testing.T) {
				if !*update && (result != g.result || strings.TrimSpace(out) != strings.TrimSpace(g.want)) {
					t.Errorf("%s\n%s\nwant %s\n%s", result, out, g.result, g.want)
				}
				if result == "ok" {
					again := golden{name: g.name, text: out}
					if r, o := again.run(); r != "ok" || o != out {
						t.Errorf("printed:\n%sread again:\n%s", out, o)
					}
				}
			})
		}
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestGoldenAgainstIptables loads every golden text with iptables-legacy in a
// network namespace of its own: accepted or refused, and printed, as weir does.
func TestGoldenAgainstIptables(t *testing.T) {
	needIptables(t)
	for _, file := range goldenFiles(t) {
		for _, g := range readGolden(t, file) {
			tool := "iptables-legacy"
			if g.family() == packet.IPv6 {
				tool = "ip6tables-legacy"
			}
			if strings.Contains(g.name, "(differs)") {
				continue
			}
			cmd := exec.Command("unshare", "-n", "sh", "-c", tool+"-restore && "+tool+"-save")
			cmd.Stdin = strings.NewReader(g.text)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			result, printed := g.run()
			if (err == nil) != (result == "ok") {
				t.Errorf("%s: iptables: %v %sweir: %s %s", g.name, err, errs.String(), result, printed)
				continue
			}
			if err == nil {
				if d := firstDifference([]byte(printed), named(out.Bytes(), []byte(printed))); d != "" {
					t.Errorf("%s: %s", g.name, d)
				}
			}
		}
	}
}

// needIptables skips where iptables-legacy cannot be asked.
func needIptables(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("short: starts iptables for each case")
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs root on Linux")
	}
	for _, tool := range []string{"unshare", "iptables-legacy-restore", "ip6tables-legacy-restore"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	if out, err := exec.Command("unshare", "-n", "iptables-legacy-save").CombinedOutput(); err != nil {
		t.Skipf("no network namespace: %v %s", err, out)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/lint"
)

var update = flag.Bool("update", false, "write the outputs in docs/lint.md again")

// lintRules runs weir lint on a rule text.
func lintRules(t *testing.T, text string, args ...string) (out string, code int) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("rules.v4", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	code = run(&env{stdin: strings.NewReader(text), stdout: &b, stderr: &b}, append([]string{"lint"}, args...))
	return b.String(), code
}

// TestLintPageShowsWhatLintPrints runs the examples of docs/lint.md.
func TestLintPageShowsWhatLintPrints(t *testing.T) {
	page, err := filepath.Abs(filepath.Join("..", "..", "docs", "lint.md"))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "```iptables\n", "```\n"
	parts := strings.Split(string(src), begin)
	var b strings.Builder
	b.WriteString(parts[0])
	section := parts[0]
	shown := map[string]bool{}
	for _, p := range parts[1:] {
		rules, rest, ok := strings.Cut(p, end)
		said, rest, ok2 := strings.Cut(strings.TrimPrefix(rest, end), end)
		if !ok || !ok2 {
			t.Fatalf("an example without an output: %s", p)
		}
		out, code := lintRules(t, rules, "rules.v4")
		id := strings.TrimSpace(section[strings.LastIndex(section, "## ")+3:])
		id, _, _ = strings.Cut(id, "\n")
		shown[id] = true
		if code != 1 || !strings.Contains(out, ": "+id+": ") {
			t.Errorf("the example of %s gives %d\n%s", id, code, out)
		}
		if out != said && !*update {
			t.Errorf("%s prints\n%sthe page has\n%s", id, out, said)
		}
		b.WriteString(begin + rules + end + end + out + end + rest)
		section += rest
	}
	for _, id := range lint.IDs() {
		if !shown[string(id)] {
			t.Errorf("no example of %s", id)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLintExitStatus(t *testing.T) {
	const good = "*filter\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
	const bad = "*filter\n-A INPUT -p tcp -j ACCEPT\n-A INPUT -p tcp --dport 22 -j DROP\nCOMMIT\n"
	for _, c := range []struct {
		name string
		text string
		args []string
		code int
		want string // in the output
	}{
		{"nothing found", good, []string{"rules.v4"}, 0, ""},
		{"standard input", good, []string{"-"}, 0, ""},
		{"something found", bad, []string{"rules.v4"}, 1, "rules.v4:3: shadowed: filter INPUT 2: line 2"},
		{"left out", bad, []string{"rules.v4", "--skip", "shadowed"}, 0, ""},
		{"an id that is none", bad, []string{"rules.v4", "--skip", "shadow"}, 2, `no finding "shadow"`},
		{"no argument", bad, nil, 2, "expected"},
		{"a file that is not there", bad, []string{"other"}, 1, "other: no such file"},
		{"a file that does not load", "*filter\n-A INPUT -j NONE\nCOMMIT\n", []string{"rules.v4"}, 1, "rules.v4:2:13:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := lintRules(t, c.text, c.args...)
			if code != c.code || !strings.Contains(out, c.want) || c.want == "" && out != "" {
				t.Errorf("exit %d, want %d; printed %s", code, c.code, out)
			}
		})
	}
	out, _ := lintRules(t, bad, "--json", "rules.v4")
	var f struct {
		ID, File, Family, Table, Chain string
		Line, Rule                     int
		Dead                           bool
		By                             []struct{ Line int }
		Packets                        []struct{ Packet, Verdict string }
	}
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		t.Fatal(err, out)
	}
	if f.ID != "shadowed" || f.Line != 3 || f.Family != "ipv4" || f.Table != "filter" || f.Rule != 2 || !f.Dead ||
		len(f.By) != 1 || f.By[0].Line != 2 || len(f.Packets) != 1 || f.Packets[0].Verdict != "ACCEPT" {
		t.Errorf("JSON is %s", out)
	}
}

func TestLintOfAMachine(t *testing.T) {
	d := machineDir(t, map[string]string{"rules.v6": "*filter\n-A FORWARD -i lan0 -j ACCEPT\n-A FORWARD -i lan0 -p tcp -j DROP\nCOMMIT\n"})
	var b bytes.Buffer
	code := run(&env{stdout: &b, stderr: &b}, []string{"lint", d})
	if code != 1 || !strings.Contains(b.String(), "rules.v6:3: shadowed") || !strings.Contains(b.String(), "packet:  lan0 tcp [") {
		t.Errorf("exit %d: %s", code, b.String())
	}
}

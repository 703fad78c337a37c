package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diffRules runs weir diff in a directory with the files a and b.
func diffRules(t *testing.T, a, b string, args ...string) (out string, code int) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"a.v4": a, "b.v4": b} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	code = run(&env{stdout: &buf, stderr: &buf}, append([]string{"diff"}, args...))
	return buf.String(), code
}

// TestDiffPageShowsWhatDiffPrints runs the examples of docs/diff.md.
func TestDiffPageShowsWhatDiffPrints(t *testing.T) {
	page, err := filepath.Abs(filepath.Join("..", "..", "docs", "diff.md"))
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
	for i := 1; i+1 < len(parts); i += 2 {
		one := strings.TrimSuffix(parts[i], end)
		two, rest, _ := strings.Cut(parts[i+1], end)
		said, rest, ok := strings.Cut(strings.TrimPrefix(rest, end), end)
		if !ok {
			t.Fatalf("an example without an output: %s", parts[i])
		}
		out, code := diffRules(t, one, two, "a.v4", "b.v4")
		if code != 1 {
			t.Errorf("exit status %d\n%s", code, out)
		}
		if out != said && !*update {
			t.Errorf("it prints\n%sthe page has\n%s", out, said)
		}
		b.WriteString(begin + one + end + begin + two + end + end + out + end + rest)
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiffExitStatus(t *testing.T) {
	const one = "*filter\n-A INPUT -p tcp --dport 22 -j DROP\nCOMMIT\n"
	const two = "*filter\n-A INPUT -p tcp --dport 23 -j DROP\nCOMMIT\n"
	for _, c := range []struct {
		name string
		b    string
		args []string
		code int
		want string
	}{
		{"the same", one, []string{"a.v4", "b.v4"}, 0, "the rules are the same"},
		{"differ", two, []string{"a.v4", "b.v4"}, 1, "2 differences in"},
		{"one of two", two, []string{"a.v4", "b.v4", "--max", "1"}, 1, "there may be more"},
		{"a file that is not there", two, []string{"a.v4", "c.v4"}, 2, "c.v4: no such file"},
		{"a file that does not load", "*filter\n-A INPUT -j NONE\nCOMMIT\n", []string{"a.v4", "b.v4"}, 2, "b.v4:2:13:"},
		{"a capture without a machine", two, []string{"a.v4", "b.v4", "c.pcap"}, 2, "needs a machine"},
		{"no limit", two, []string{"a.v4", "b.v4", "--max", "0"}, 2, "--max"},
		{"one argument", two, []string{"a.v4"}, 2, "expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := diffRules(t, one, c.b, c.args...)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit %d, want %d; printed %s", code, c.code, out)
			}
		})
	}
	out, _ := diffRules(t, one, two, "--json", "a.v4", "b.v4")
	var d struct {
		Packets []string
		A, B    struct {
			Verdict string
			By      struct{ Line int }
		}
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&d); err != nil {
		t.Fatal(err, out)
	}
	if len(d.Packets) != 1 || d.A.Verdict == d.B.Verdict || d.A.By.Line+d.B.By.Line != 2 {
		t.Errorf("JSON is %s", out)
	}
}

func TestDiffWithACapture(t *testing.T) {
	a := machineDir(t, nil)
	b := machineDir(t, map[string]string{"rules.v4": strings.Replace(rulesV4, "-i lan0 -p udp", "-i lan0 -p udp --dport 53", 1)})
	file := captureFile(t,
		"lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=30",
		"lan0 udp 192.0.2.10:4001 > 198.51.100.1:123 len=30",
		"+1s lan0 udp 192.0.2.10:4001 > 198.51.100.1:123 len=31",
		"lan0 tcp 192.0.2.10:4002 > 198.51.100.1:443 S")
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"two machines", []string{a, b, file}, 1, []string{
			"udp 192.0.2.10:4001 - 198.51.100.1:123: 2 of 2 packets, first #2 in lan0",
			"A  forward, wan0: udp 203.0.113.2:4001 > 198.51.100.1:123", "B  drop (policy)", "policy of filter FORWARD", "1 flow of 3 differ, 4 packets"}},
		{"rules on the same machine", []string{a, filepath.Join(b, "rules.v4"), file}, 1, []string{"1 flow of 3 differ"}},
		{"the same machine", []string{a, a, file}, 0, []string{"no flow of 3 differ, 4 packets"}},
		{"JSON", []string{a, b, file, "--json"}, 1, []string{`{"flow":"udp 192.0.2.10:4001 - 198.51.100.1:123","first":2,"packets":2,"all":2,`}},
		{"an interface that is not there", []string{a, b, file, "--in", "eth9"}, 2, []string{"no interface"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var buf bytes.Buffer
			code := run(&env{stdout: &buf, stderr: &buf}, append([]string{"diff"}, c.args...))
			if code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(buf.String(), w) {
					t.Errorf("%q is not in\n%s", w, buf.String())
				}
			}
		})
	}
}

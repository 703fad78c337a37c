//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// weirBinary builds the command once a test.
func weirBinary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "weir")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// TestScriptsChangeTheMachineDirectory runs what scripts do, among them the
// commands of fail2ban's action for iptables.
func TestScriptsChangeTheMachineDirectory(t *testing.T) {
	bin := weirBinary(t)
	const yaml = "interfaces:\n  - {name: lan0, addresses: [192.0.2.1/24]}\n"
	for _, c := range []struct {
		name, script   string
		rules4, rules6 string
		stdout, stderr string
		status         int
	}{
		{
			name: "a jail begins and bans",
			script: `iptables -w -C f2b-sshd -j RETURN 2>/dev/null || { iptables -w -N f2b-sshd; iptables -w -A f2b-sshd -j RETURN; }
iptables -w -C INPUT -p tcp -m multiport --dports ssh -j f2b-sshd 2>/dev/null || iptables -w -I INPUT -p tcp -m multiport --dports ssh -j f2b-sshd
iptables -w -I f2b-sshd 1 -s 198.51.100.7 -j REJECT --reject-with icmp-port-unreachable
iptables -w -n -L INPUT | grep -q 'f2b-sshd[ \t]' && echo there`,
			rules4: `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -s 198.51.100.7/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
`, stdout: "there\n"},
		{
			name:   "a restore, and a failure with its status",
			script: "printf '*nat\\n-A POSTROUTING -j MASQUERADE\\nCOMMIT\\n' | ip6tables-restore\niptables -A INPUT --dprot 80",
			rules6: "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n",
			stderr: "iptables v1.8.9 (legacy): unknown option \"--dprot\"\nTry `iptables -h' or 'iptables --help' for more information.\n",
			status: 2},
		{
			name:   "a program that cleans its environment",
			script: "i=$(command -v iptables); env -i \"$i\" -P FORWARD DROP; echo $?",
			rules4: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
			stdout: "0\n"},
		{
			name:   "a set and a rule that names it",
			script: "ipset create bad hash:ip && ipset add bad 192.0.2.9 && iptables -A INPUT -m set --match-set bad src -j DROP && ipset test bad 192.0.2.9 && ipset destroy bad",
			rules4: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m set --match-set bad src -j DROP\nCOMMIT\n",
			stderr: "Warning: 192.0.2.9 is in set bad.\nipset v7.17: Set cannot be destroyed: it is in use by a kernel component\n", status: 1},
		{
			name:   "many at once lose nothing",
			script: "for i in 1 2 3 4 5 6 7 8; do iptables -w -A INPUT -j ACCEPT & done; wait; iptables -S INPUT | wc -l | tr -d ' '; iptables -F",
			rules4: "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
			stdout: "9\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "machine.yaml"), []byte(yaml), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(bin, "with", dir, "--", "sh", "-c", c.script)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			if stdout.String() != c.stdout || stderr.String() != c.stderr || cmd.ProcessState.ExitCode() != c.status {
				t.Errorf("status %d\n%s%s", cmd.ProcessState.ExitCode(), stdout.String(), stderr.String())
			}
			for name, want := range map[string]string{"rules.v4": c.rules4, "rules.v6": c.rules6} {
				got, _ := os.ReadFile(filepath.Join(dir, name))
				if want != "" && string(got) != want {
					t.Errorf("%s:\n%s", name, got)
				}
			}
			left, err := filepath.Glob(filepath.Join(dir, ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestFormatIsAFixedPoint(t *testing.T) {
	bin := weirBinary(t)
	files, err := filepath.Glob("../../examples/*/rules.v[46]")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	messy := filepath.Join(t.TempDir(), "rules.v4")
	const text = "# kept \n\n\n*filter\n--append INPUT  -j ACCEPT -p tcp --dport ssh\n:WEB -\n# so is this\n[5:6] -A INPUT -s 192.0.2.1,192.0.2.9 -g WEB\n-6 -A INPUT  -j X\nCOMMIT\n"
	const want = "# kept\n\n*filter\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n:WEB - [0:0]\n# so is this\n[5:6] -A INPUT -s 192.0.2.1/32 -g WEB\n[5:6] -A INPUT -s 192.0.2.9/32 -g WEB\n-6 -A INPUT  -j X\nCOMMIT\n"
	if err := os.WriteFile(messy, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(bin, "fmt", "--check", messy).CombinedOutput(); err == nil || !strings.Contains(string(out), "+-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n") {
		t.Errorf("--check: %v\n%s", err, out)
	}
	if out, err := exec.Command(bin, "fmt", "-w", messy).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, _ := os.ReadFile(messy); string(got) != want {
		t.Errorf("got\n%s", got)
	}
	run := func(args ...string) string {
		out, err := exec.Command(bin, args...).Output()
		if err != nil {
			t.Errorf("weir %v: %v", args, err)
		}
		return string(out)
	}
	for _, f := range append(files, messy) {
		again := filepath.Join(t.TempDir(), filepath.Base(f)) // its name says for which family it is
		if err := os.WriteFile(again, []byte(run("fmt", f)), 0o644); err != nil {
			t.Fatal(err)
		}
		sets := filepath.Join(filepath.Dir(f), "ipset.save")
		if _, err := os.Stat(sets); err != nil {
			sets = os.DevNull
		}
		run("fmt", "--check", "--sets", sets, again)
		six := "--ipv6=" + strconv.FormatBool(strings.HasSuffix(f, "6"))
		if run("check", "--print", "--sets", sets, six, f) != run("check", "--print", "--sets", sets, six, again) {
			t.Errorf("%s loads other rules when formatted", f)
		}
	}
}

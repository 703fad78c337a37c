package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestAnOrdinaryUserTriesAGateway(t *testing.T) {
	if err := exec.Command("unshare", "--user", "--map-root-user", "--net", "true").Run(); err != nil {
		t.Skip("no user namespaces here")
	}
	bin := weirBinary(t)
	run := func(args ...string) (string, int) {
		cmd := exec.Command(bin, args...)
		cmd.Env = append(cmd.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		var x *exec.ExitError
		if errors.As(err, &x) {
			return string(out), x.ExitCode()
		}
		return string(out), 0
	}
	out, code := run("run", "--userns", "../../examples/gateway", "--", "sh", "-c",
		`ping -c1 -W5 203.0.113.1 && ping -c1 -W5 2001:db8:2::1 && `+bin+` conntrack -L; exit 7`)
	if code != 7 || strings.Count(out, "1 received") != 2 || !strings.Contains(out, "src=203.0.113.1 dst=203.0.113.2") {
		t.Errorf("status %d\n%s", code, out)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
		code int
	}{
		{"a command is needed", []string{"run", "--userns", "../../examples/gateway"}, "needs a command", exitUsage},
		{"the command has to be there", []string{"run", "--userns", "../../examples/gateway", "--", "no-such-program"}, "no-such-program", exitFailed},
		{"links of the system are refused", []string{"run", "--userns", machineDir(t, map[string]string{
			"machine.yaml": "interfaces: [{name: a, addresses: [192.0.2.1/24], link: \"packet:lo\"}]"}), "--", "true"}, "every link is a tun", exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := run(c.args...)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("status %d, want %d\n%s", code, c.code, out)
			}
		})
	}
}

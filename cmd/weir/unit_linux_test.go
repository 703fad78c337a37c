package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// unitOf is what the unit file says, by key; a key that is there twice has both.
func unitOf(t *testing.T) (text string, keys map[string][]string) {
	t.Helper()
	b, err := os.ReadFile("../../contrib/weir.service")
	if err != nil {
		t.Fatal(err)
	}
	keys = map[string][]string{}
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(l), "="); ok && !strings.HasPrefix(k, "#") {
			keys[k] = append(keys[k], v)
		}
	}
	return string(b), keys
}

// TestSystemdKnowsAllOfTheUnit lets systemd read the unit file.
func TestSystemdKnowsAllOfTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd is not installed")
	}
	text, _ := unitOf(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) string {
		unit := filepath.Join(t.TempDir(), "weir.service")
		if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
		var said []string
		for l := range strings.Lines(string(out)) {
			if strings.Contains(l, "weir.service") { // not of other units of the system
				said = append(said, l)
			}
		}
		if err != nil && len(said) == 0 {
			t.Skipf("systemd-analyze does not work here: %v %s", err, out)
		}
		return strings.Join(said, "")
	}
	text = strings.Replace(text, "/usr/local/bin/weir", self, 1) // a program that is there
	if out := verify(text); out != "" {
		t.Errorf("%s", out)
	}
	if out := verify(strings.Replace(text, "WatchdogSec", "WatchdogSecs", 1)); !strings.Contains(out, "WatchdogSecs") {
		t.Errorf("a key that does not exist is not seen: %q", out)
	}
}

// TestTheUnitsCommandAndCapabilitiesAreEnough runs the command of the unit file with
// every kind of link and with no more capabilities than the unit gives, and tells
// it what systemd would.
func TestTheUnitsCommandAndCapabilitiesAreEnough(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make namespaces")
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("setpriv is not installed")
	}
	_, keys := unitOf(t)
	dir := t.TempDir()
	at := strings.NewReplacer("/usr/local/bin/weir", weirBinary(t), "/etc/weir", filepath.Join(dir, "etc"),
		"/run/", dir+"/", "/var/log/weir/", dir+"/").Replace
	command := strings.Fields(at(keys["ExecStart"][0]))
	caps := "-all"
	for _, c := range strings.Fields(keys["CapabilityBoundingSet"][0]) {
		caps += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc", "machine.yaml"), []byte(`interfaces:
  - {name: lan0, addresses: [192.0.2.1/24], link: tun}
  - {name: lan1, addresses: [198.51.100.1/24], link: "packet:eth0"}
  - {name: wan0, addresses: [203.0.113.2/24], link: "xdp:eth1"}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", slices.Concat([]string{"-c", `
ip link add eth0 type veth peer name peer0 && ip link set peer0 up && ip link add eth1 type veth peer name peer1 && ip link set peer1 up || exit 99
exec setpriv --bounding-set "$0" --no-new-privs "$@" --queues 2`, caps}, command)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	until := func(text string) {
		t.Helper()
		for b := make([]byte, 4096); !strings.Contains(log.String(), text); {
			n, err := stderr.Read(b)
			if log.Write(b[:n]); err != nil {
				t.Fatalf("weir ended before it said %q:\n%s", text, log.String())
			}
		}
	}
	until("msg=running")
	heard := make([]byte, 100)
	if n, err := notify.Read(heard); string(heard[:n]) != "READY=1" {
		t.Errorf("systemd heard %q, %v", heard[:n], err)
	}
	queues := 0
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", cmd.Process.Pid))
	for _, f := range fds {
		if to, _ := os.Readlink(f); to == "/dev/net/tun" {
			queues++
		}
	}
	if queues != 2 {
		t.Errorf("the TUN device has %d queues", queues)
	}
	tell := exec.Command("/bin/sh", "-c", keys["ExecReload"][0])
	tell.Env = append(os.Environ(), fmt.Sprintf("MAINPID=%d", cmd.Process.Pid))
	if out, err := tell.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	until("msg=reloaded")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	rest, _ := io.ReadAll(stderr)
	log.Write(rest)
	if err := cmd.Wait(); err != nil || strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("%v\n%s", err, log.String())
	}
	if n, _ := notify.Read(heard); string(heard[:n]) != "STOPPING=1" {
		t.Errorf("systemd heard %q", heard[:n])
	}
}

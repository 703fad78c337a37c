package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// liveMachine is a gateway that needs nobody outside.
const liveMachine = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24], link: tun}
  - {name: wan0, addresses: [203.0.113.2/24], link: tun}
routes:
  - {to: 0.0.0.0/0, via: 203.0.113.1, dev: wan0}
`

// liveHead makes the namespaces the script's own and, where there is a weir,
// runs its gateway and puts links to it in front of PATH. Without one the
// programs are the kernel's.
const liveHead = `mount --make-rprivate / && mount -t tmpfs none /run && cd "$OUT" || exit 99
unset XDG_RUNTIME_DIR WEIR_CONTROL WEIR_MACHINE
ip link set lo up
if [ -n "$WEIR" ]; then
	"$WEIR" run "$MACHINE" 2>run.log &
	gateway=$!
	trap 'kill $gateway; wait $gateway' EXIT
	n=0
	until [ -S /run/weir.sock ]; do n=$((n+1)); [ $n -lt 200 ] || { cat run.log; exit 98; }; sleep 0.05; done
	mkdir bin
	for p in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore ipset conntrack; do ln -s "$WEIR" bin/$p; done
	PATH=$OUT/bin:$PATH
	for p in xtables-legacy-multi xtables-nft-multi; do [ ! -e /usr/sbin/$p ] || mount --bind "$WEIR" /usr/sbin/$p; done
else
	mkdir bin
	for p in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do ln -s /usr/sbin/xtables-legacy-multi bin/$p; done
	PATH=$OUT/bin:$PATH
	[ ! -e /usr/sbin/xtables-nft-multi ] || mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi
fi
saved() {
	for t in raw mangle nat filter security; do "$1" -t $t 2>/dev/null | grep -v '^#'; done
}
`

// onBoth runs a script before a gateway of weir and before the kernel, in
// namespaces of their own, and returns what each printed.
func onBoth(t *testing.T, script string, env ...string) (weir, kernel string) {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("WEIR_REQUIRE_KERNEL") == "1" {
			t.Fatal("only root can make namespaces")
		}
		t.Skip("only root can make namespaces")
	}
	for _, p := range []string{"/usr/sbin/xtables-legacy-multi", "/dev/net/tun"} {
		if _, err := os.Stat(p); err != nil {
			t.Skipf("%s is not here", p)
		}
	}
	bin := weirBinary(t)
	machine := t.TempDir()
	if err := os.WriteFile(filepath.Join(machine, "machine.yaml"), []byte(liveMachine), 0o644); err != nil {
		t.Fatal(err)
	}
	var out [2]string
	var wg sync.WaitGroup
	for i, w := range []string{bin, ""} {
		dir := t.TempDir()
		wg.Go(func() {
			cmd := exec.Command("/bin/bash", "-c", liveHead+script)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
			cmd.Env = append(slices.Concat(os.Environ(), env), "WEIR="+w, "MACHINE="+machine, "OUT="+dir)
			b, err := cmd.CombinedOutput()
			if err != nil {
				b = fmt.Appendf(b, "%v\n", err)
			}
			out[i] = string(b)
		})
	}
	wg.Wait()
	return out[0], out[1]
}

// counters are those of chains, which packets of the kernel's own change.
var counters = regexp.MustCompile(`\[\d+:\d+\]`)

func same(t *testing.T, weir, kernel string) {
	t.Helper()
	weir, kernel = counters.ReplaceAllString(weir, "[0:0]"), counters.ReplaceAllString(kernel, "[0:0]")
	if weir == kernel {
		return
	}
	w, k := strings.Split(weir, "\n"), strings.Split(kernel, "\n")
	for i := range min(len(w), len(k)) {
		if w[i] != k[i] {
			t.Fatalf("line %d\nweir:   %s\nkernel: %s\n\nweir's, all of it:\n%s", i+1, w[i], k[i], weir)
		}
	}
	t.Fatalf("weir wrote %d lines, the kernel %d:\n%s\nkernel:\n%s", len(w), len(k), weir, kernel)
}

// TestUFWDrivesARunningGateway lets ufw, which calls iptables by its full path,
// work on weir and on the kernel.
func TestUFWDrivesARunningGateway(t *testing.T) {
	if _, err := exec.LookPath("ufw"); err != nil {
		t.Skip("ufw is not installed")
	}
	w, k := onBoth(t, `cp -a /etc/ufw ufw && mount --bind ufw /etc/ufw || exit 97
show() { echo "== $1: $2"; saved iptables-save; saved ip6tables-save; }
ufw --force enable; show enable $?
ufw allow 22/tcp; ufw limit 80/tcp; ufw route allow in on lan0 out on wan0; ufw allow from 2001:db8::/32 to any port 53 proto udp
show rules $?
ufw status verbose
ufw --force disable; show disable $?
`)
	if !strings.Contains(w, "== enable: 0") || !strings.Contains(w, "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT") {
		t.Fatalf("ufw did not work:\n%s", w)
	}
	same(t, w, k)
}

// TestRuleFilesOfOthersLoadInARunningGateway restores what Docker, kube-proxy and
// others wrote, one over the other, as they do.
func TestRuleFilesOfOthersLoadInARunningGateway(t *testing.T) {
	var files []string
	for _, p := range []string{"docker-*-iptables.rules", "kubeproxy-*.rules", "libvirt-*-v4.rules", "istio-*-v4.rules"} {
		m, _ := filepath.Glob(filepath.Join("../../../shared/corpus/rulesets", p))
		files = append(files, m[:min(4, len(m))]...)
	}
	if len(files) == 0 {
		t.Skip("no rule sets of others here")
	}
	var list strings.Builder
	for _, f := range files {
		a, err := filepath.Abs(f)
		if err != nil {
			t.Fatal(err)
		}
		list.WriteString(" " + a)
	}
	w, k := onBoth(t, `for f in $FILES; do
	iptables-restore --noflush --counters <$f; echo "== $f: $?"; saved iptables-save
done
iptables-restore --test </dev/null; echo test $?
iptables -w -t nat -F; iptables -w -t nat -X; echo flush $?; saved iptables-save | head -20
`, "FILES="+list.String())
	if n := strings.Count(w, ".rules: 0\n"); n < len(files)/2 {
		t.Errorf("only %d of %d files loaded", n, len(files))
	}
	same(t, w, k)
}

// TestVerbsOfARunningGateway uses the verbs that are weir's own.
func TestVerbsOfARunningGateway(t *testing.T) {
	w, _ := onBoth(t, `[ -n "$WEIR" ] || exit 0
"$WEIR" status | head -2 | tail -1
"$WEIR" iptables -A FORWARD -p tcp --dport 80 -j ACCEPT; "$WEIR" iptables -A FORWARD -m conntrack --ctstate NEW -j ACCEPT; "$WEIR" iptables-save | grep dport
printf '*filter\n-A FORWARD -j NOWHERE\nCOMMIT\n' | "$WEIR" iptables-restore; echo $?
"$WEIR" ipset create x hash:ip; "$WEIR" ipset add x 192.0.2.7; "$WEIR" ipset save x | tail -1
"$WEIR" nat; "$WEIR" top --once
conntrack -E -p icmp >events 2>shown &
events=$!
"$WEIR" trace --live icmp --show verdict >walks & 
walks=$!
n=0
until ip addr add 192.0.2.5/24 dev lan0 2>/dev/null; ping -c 1 -W 1 -I lan0 198.51.100.1 >/dev/null; [ -s walks ]; do n=$((n+1)); [ $n -lt 20 ] || break; done
until [ -s events ] || [ $n -gt 40 ]; do n=$((n+1)); ping -c 1 -W 1 -I lan0 198.51.100.1 >/dev/null; done
kill -INT $walks $events; wait $walks $events
grep -o 'NEW. icmp     1 30 src=192.0.2.5 dst=198.51.100.1 type=8' events | head -1; grep -o 'flow events have been shown' shown
conntrack -L -p icmp 2>/dev/null | grep -q src=192.0.2.5 && echo listed; "$WEIR" conntrack -F 2>&1 | grep -o 'has been emptied'
grep -o 'icmp 192.0.2.5 > 198.51.100.1 echo request' walks | head -1
kill $gateway; wait $gateway; trap - EXIT
iptables -L; echo $?; [ -e /run/weir.sock ] && echo the socket is still there
true
`)
	want := `connections  0 (of 262144, 0.0 %), 0 expected
-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT
iptables-restore v1.8.9 (legacy): Couldn't load target ` + "`NOWHERE'" + `:No such file or directory

Error occurred at line: 2
Try ` + "`iptables-restore -h'" + ` or 'iptables-restore --help' for more information.
2
add x 192.0.2.7
0 connections have their source translated
source  connections
NEW] icmp     1 30 src=192.0.2.5 dst=198.51.100.1 type=8
flow events have been shown
listed
has been emptied
icmp 192.0.2.5 > 198.51.100.1 echo request
iptables: /run/weir.sock: no weir runs there
4
`
	w = regexp.MustCompile(`(?m)^connections  \d+ \(of (\d+), [\d.]+ %\)`).ReplaceAllString(w, "connections  0 (of $1, 0.0 %)")
	if !bytes.Equal([]byte(w), []byte(want)) {
		t.Errorf("got\n%s\nwant\n%s", w, want)
	}
}

// TestAGatewayIsWatched asks a gateway for everything by which it is watched.
func TestAGatewayIsWatched(t *testing.T) {
	dir := t.TempDir()
	s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() {
		var said []string
		for b := make([]byte, 1000); ; {
			n, err := s.Read(b)
			if err != nil {
				heard <- strings.Join(said, " ")
				return
			}
			if m := string(b[:n]); !slices.Contains(said, m) {
				said = append(said, m)
			}
		}
	}()
	w, _ := onBoth(t, `[ -n "$WEIR" ] || exit 0
kill $gateway; wait $gateway
NOTIFY_SOCKET=$NOTIFY WATCHDOG_USEC=100000 "$WEIR" run "$MACHINE" --log-format json --rule-log rules --rule-packets packets \
	--metrics 127.0.0.1:9630 --metrics-names node 2>log &
gateway=$!
n=0
until [ -S /run/weir.sock ] && ip addr add 192.0.2.5/24 dev lan0 2>/dev/null; do n=$((n+1)); [ $n -lt 200 ] || break; sleep 0.05; done
iptables -A FORWARD -p icmp -m comment --comment echo -j NFLOG --nflog-prefix seen; iptables -A FORWARD -j DROP
until [ -s packets ]; do ping -c 1 -W 1 -I lan0 198.51.100.1 >/dev/null; n=$((n+1)); [ $n -lt 400 ] || break; done
exec 3<>/dev/tcp/127.0.0.1/9630; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3 | grep -c '^node_nf_conntrack_entries '
kill $gateway; wait $gateway; echo "ended $?"; trap - EXIT
grep -o 'kernel: seenIN=lan0 OUT=wan0 MAC= SRC=192.0.2.5 DST=198.51.100.1' rules | head -1
grep -ao 'filter FORWARD 1: -p icmp -m comment --comment echo -j NFLOG --nflog-prefix seen' packets | head -1
grep -o '"msg":"running"' log
`, "NOTIFY="+filepath.Join(dir, "notify"))
	want := `1
ended 0
kernel: seenIN=lan0 OUT=wan0 MAC= SRC=192.0.2.5 DST=198.51.100.1
filter FORWARD 1: -p icmp -m comment --comment echo -j NFLOG --nflog-prefix seen
"msg":"running"
`
	if w != want {
		t.Errorf("got\n%s\nwant\n%s", w, want)
	}
	s.Close()
	if got := <-heard; got != "READY=1 WATCHDOG=1 STOPPING=1" {
		t.Errorf("the service manager heard %q", got)
	}
}

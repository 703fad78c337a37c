package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// stunScript runs a gateway between a host inside and a STUN server with two
// addresses outside, each in a namespace of its own, and asks from inside what
// kind of NAT that is. All three clients run at once, since they wait for answers
// that do not come.
const stunScript = `mount --make-rprivate / && mount -t tmpfs none /run && cd "$OUT" || exit 99
ip link set lo up
ip netns add inside && ip netns add outside || exit 97
"$WEIR" run "$MACHINE" 2>run.log &
gateway=$!
turn=
trap 'kill $turn $gateway; wait' EXIT
until_ok() { local n=0; until "$@"; do n=$((n+1)); [ $n -lt 400 ] || { echo "waited in vain: $*"; cat run.log turn.log; exit 98; }; sleep 0.05; done; }
until_ok [ -S /run/weir.sock ]
ip link set lan0 netns inside; ip -n inside addr add 192.0.2.10/24 dev lan0; ip -n inside link set lan0 up
ip -n inside route add default via 192.0.2.1
ip link set wan0 netns outside; ip -n outside addr add 203.0.113.1/24 dev wan0; ip -n outside link set wan0 up
ip -n outside link set lo up; ip -n outside addr add 198.51.100.1/32 dev lo; ip -n outside addr add 198.51.100.2/32 dev lo
ip netns exec outside turnserver -n -L 198.51.100.1 -L 198.51.100.2 -p 3478 --alt-listening-port 3479 -S -m 1 \
	--no-tls --no-dtls --no-tcp --no-tcp-relay --no-cli -l stdout --pidfile "$OUT/turn.pid" --db "$OUT/turn.db" >turn.log 2>&1 &
turn=$!
answers() { [ "$(ip netns exec outside grep -cE '0[12]6433C6:0D9[67] ' /proc/net/udp)" -ge 4 ]; }
until_ok answers
ip netns exec inside turnutils_natdiscovery -m 198.51.100.1 >mapping 2>&1 &
m=$!
ip netns exec inside turnutils_natdiscovery -f 198.51.100.1 >filtering 2>&1 &
f=$!
ip netns exec inside stun 198.51.100.1 >stun 2>&1
wait $m $f
grep -h '^NAT with' mapping filtering
grep -o '^Primary: .*[^[:space:]]' stun
`

// TestSTUNClientsNameTheMappingAndTheFiltering lets Debian's stun and coturn's
// turnutils_natdiscovery say what NAT they are behind.
func TestSTUNClientsNameTheMappingAndTheFiltering(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("WEIR_REQUIRE_KERNEL") == "1" {
			t.Fatal("only root can make namespaces")
		}
		t.Skip("only root can make namespaces")
	}
	for _, p := range []string{"turnserver", "turnutils_natdiscovery", "stun", "ip", "/dev/net/tun"} {
		if _, err := exec.LookPath(p); err != nil && !strings.HasPrefix(p, "/dev") {
			t.Skipf("%s is not installed", p)
		} else if _, err := os.Stat(p); err != nil && strings.HasPrefix(p, "/dev") {
			t.Skipf("%s is not here", p)
		}
	}
	bin := weirBinary(t)
	const ei = " --mapping endpoint-independent"
	for _, c := range []struct{ name, target, want string }{
		{"Linux, with random ports", "MASQUERADE --random-fully", `NAT with Address and Port Dependent Mapping!
NAT with Address and Port Dependent Filtering!
Primary: Dependent Mapping, random port, no hairpin
`},
		{"endpoint-independent mapping alone", "MASQUERADE --random-fully" + ei, `NAT with Endpoint Independent Mapping!
NAT with Address and Port Dependent Filtering!
Primary: Independent Mapping, Port Dependent Filter, random port, no hairpin
`},
		{"address-dependent filtering", "MASQUERADE" + ei + " --filtering address-dependent", `NAT with Endpoint Independent Mapping!
NAT with Address Dependent Filtering!
Primary: Independent Mapping, Address Dependent Filter, preserves ports, will hairpin
`},
		{"endpoint-independent filtering", "SNAT --to-source 203.0.113.2" + ei + " --filtering endpoint-independent", `NAT with Endpoint Independent Mapping!
NAT with Endpoint Independent Filtering!
Primary: Independent Mapping, Independent Filter, preserves ports, will hairpin
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			machine := t.TempDir()
			rules := fmt.Sprintf(`*nat
-A POSTROUTING -o wan0 -j %s
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -o wan0 -j ACCEPT
-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT
COMMIT
`, c.target)
			for name, text := range map[string]string{"machine.yaml": liveMachine + "sysctl: {net.ipv4.ip_forward: 1}\n", "rules.v4": rules} {
				if err := os.WriteFile(filepath.Join(machine, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got := ""
			for range 2 { // on a busy machine an answer can come too late
				cmd := exec.Command("/bin/bash", "-c", stunScript)
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
				cmd.Env = append(os.Environ(), "WEIR="+bin, "MACHINE="+machine, "OUT="+t.TempDir())
				out, err := cmd.CombinedOutput()
				if got = string(out); err != nil {
					got += err.Error()
				}
				if got == c.want {
					return
				}
			}
			t.Errorf("the clients say\n%s\nand should say\n%s", got, c.want)
		})
	}
}

package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bothV4 and bothV6 are the rules of every gateway of a comparison. What belongs
// to no connection is dropped, so that nothing late leaves untranslated.
const bothV4 = `*raw
-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
COMMIT
*nat
-A PREROUTING -d 203.0.113.2/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.0.2.10:80
-A POSTROUTING -o wan0 -j MASQUERADE
-A POSTROUTING -s 192.0.2.0/24 -d 192.0.2.0/24 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -p tcp -m tcp --dport 81 -j REJECT --reject-with tcp-reset
-A FORWARD -p tcp -m tcp --dport 82 -j REJECT --reject-with icmp-admin-prohibited
-A FORWARD -p tcp -m tcp --dport 83 -j DROP
-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
`

var bothV6 = strings.NewReplacer("icmp-admin-prohibited", "icmp6-adm-prohibited",
	"203.0.113.2/32", "2001:db8:2::2/128", "192.0.2.10:80", "[2001:db8:1::10]:80",
	"192.0.2.0/24", "2001:db8:1::/64").Replace(bothV4)

const bothYAML = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24, "2001:db8:1::1/64"], link: "KIND:eth0"}
  - {name: wan0, addresses: [203.0.113.2/24, "2001:db8:2::2/64"], mtu: 1400, link: "KIND:eth1"}
routes:
  - {to: default, via: 203.0.113.1}
  - {to: "::/0", via: "2001:db8:2::1"}
sysctl:
`

// bothSysctls keep what is compared from running out meanwhile.
var bothSysctls = map[string]int{
	"net.netfilter.nf_conntrack_tcp_timeout_close": 300,
	"net.netfilter.nf_conntrack_icmp_timeout":      300,
	"net.netfilter.nf_conntrack_icmpv6_timeout":    300,
	"net.netfilter.nf_conntrack_udp_timeout":       300,
}

// rival is one of the gateways of a comparison, with hosts of its own.
type rival struct {
	*world
	name string
	list func() string // conntrack -L of both families
}

// newKernelRival is Linux itself as the gateway.
func newKernelRival(t *testing.T) *rival {
	w := &world{client: newHost(t), router: newHost(t), server: newHost(t)}
	for _, x := range []struct {
		dev string
		to  *host
	}{{"lan0", w.client}, {"wan0", w.server}} {
		w.router.run("ip", "link", "add", x.dev, "type", "veth", "peer", "name", "wire0", "netns", x.to.path)
	}
	quiet(w.router)
	w.router.script(`ip addr add 192.0.2.1/24 dev lan0
		ip addr add 2001:db8:1::1/64 dev lan0 nodad
		ip addr add 203.0.113.2/24 dev wan0
		ip addr add 2001:db8:2::2/64 dev wan0 nodad
		ip link set wan0 mtu 1400
		ip link set lan0 up
		ip link set wan0 up
		ip route add default via 203.0.113.1
		ip route add default via 2001:db8:2::1
		sysctl -qw net.ipv4.icmp_ratemask=0
		sysctl -qw net.ipv6.icmp.ratelimit=0
		sysctl -qw net.ipv4.conf.all.send_redirects=0
		sysctl -qw net.ipv4.conf.lan0.send_redirects=0
		sysctl -qw net.ipv4.ip_forward=1
		sysctl -qw net.ipv6.conf.all.forwarding=1`)
	dir := machineFiles(t, map[string]string{"rules.v4": bothV4, "rules.v6": bothV6})
	w.router.run("iptables-legacy-restore", filepath.Join(dir, "rules.v4"))
	w.router.run("ip6tables-legacy-restore", filepath.Join(dir, "rules.v6"))
	for k, v := range bothSysctls {
		w.router.run("sysctl", "-qw", k+"="+strconv.Itoa(v))
	}
	r := &rival{world: w, name: "kernel"}
	r.list = func() string { return r.listed(nil, "conntrack") }
	r.hosts("wire0", "wire0", headLen)
	return r
}

// newWeirRival is weir with links of a kind.
func newWeirRival(t *testing.T, kind string) *rival {
	w := &world{client: newHost(t), router: newHost(t), server: newHost(t)}
	r := &rival{world: w, name: "weir by " + kind}
	yaml := strings.ReplaceAll(bothYAML, "KIND", kind)
	for k, v := range bothSysctls {
		yaml += "  " + k + ": " + strconv.Itoa(v) + "\n"
	}
	dir := machineFiles(t, map[string]string{"machine.yaml": yaml, "rules.v4": bothV4, "rules.v6": bothV6})
	socket := filepath.Join(t.TempDir(), "weir.sock")
	r.list = func() string {
		return r.listed([]string{"WEIR_CONTROL=" + socket}, buildWeir(t), "conntrack")
	}
	run := func() { w.weir = w.router.weir("run", "--control="+socket, dir) }
	if kind == "tun" {
		run()
		w.router.run("ip", "link", "set", "eth0", "netns", w.client.path)
		w.router.run("ip", "link", "set", "eth1", "netns", w.server.path)
		r.hosts("eth0", "eth1", 0)
		return r
	}
	for _, x := range []struct {
		dev string
		to  *host
	}{{"eth0", w.client}, {"eth1", w.server}} {
		w.router.run("ip", "link", "add", x.dev, "type", "veth", "peer", "name", "wire0", "netns", x.to.path)
		w.router.run("sysctl", "-qw", "net.ipv6.conf."+x.dev+".disable_ipv6=1")
	}
	w.router.script("ip link set eth1 mtu 1400")
	r.hosts("wire0", "wire0", headLen)
	run()
	return r
}

// quiet keeps a host from sending what nobody asked for.
func quiet(h *host) {
	h.script(`sysctl -qw net.ipv6.conf.all.accept_ra=0
		sysctl -qw net.ipv6.conf.default.accept_ra=0
		sysctl -qw net.ipv6.conf.default.router_solicitations=0`)
}

// hosts gives the two hosts their addresses.
func (r *rival) hosts(client, server string, link int) {
	quiet(r.client)
	quiet(r.server)
	r.server.script("ip link set " + server + " mtu 1400")
	r.server.script("ip link set " + server + " up")
	r.sniffer = r.server.sniff(server, link, "192.0.2.0/24", "2001:db8:1::/64")
	r.server.script(strings.ReplaceAll(`ip addr add 203.0.113.1/24 dev DEV
		ip addr add 198.51.100.1/32 dev lo
		ip addr add 198.51.100.2/32 dev lo
		ip addr add 2001:db8:9::1/128 dev lo
		ip addr add 2001:db8:2::1/64 dev DEV nodad`, "DEV", server))
	r.client.script(strings.ReplaceAll(`ip addr add 192.0.2.10/24 dev DEV
		ip addr add 2001:db8:1::10/64 dev DEV nodad
		ip link set DEV up
		ip route add default via 192.0.2.1 dev DEV
		ip route add default via 2001:db8:1::1 dev DEV`, "DEV", client))
}

// listed runs conntrack -L for both families in the gateway's namespace.
func (r *rival) listed(env []string, command ...string) string {
	var all strings.Builder
	for _, f := range []string{"ipv4", "ipv6"} {
		cmd := exec.Command(command[0], append(command[1:], "-L", "-f", f, "-o", "id")...)
		cmd.Env = append(os.Environ(), env...)
		cmd.Stdout = &all
		if err := r.router.do(cmd.Start); err != nil {
			return err.Error()
		}
		if err := cmd.Wait(); err != nil {
			return fmt.Sprintf("conntrack: %v", err)
		}
	}
	return all.String()
}

var (
	connID   = regexp.MustCompile(` id=(\d+)$`)
	connTime = regexp.MustCompile(`^(\S+ +\d+) \d+ `)
	connPort = regexp.MustCompile(`\b(sport|dport|id)=(\d+)`)
	connUse  = regexp.MustCompile(` use=\d+`)
)

// table are the connections that are not among old, which gets them: sorted, without
// ids and timeouts, and with the ports that are drawn by lot (from 32768
// up) and the ids of pings under the order in which the line names them.
func (r *rival) table(old map[string]bool) (lines []string, ids []string) {
	for l := range strings.Lines(r.list()) {
		l = strings.TrimSpace(l)
		m := connID.FindStringSubmatch(l)
		if m == nil {
			lines = append(lines, l)
			continue
		}
		if old[m[1]] {
			continue
		}
		ids = append(ids, m[1])
		l = connUse.ReplaceAllString(connID.ReplaceAllString(connTime.ReplaceAllString(l, "$1 "), ""), "")
		var drawn []string
		lines = append(lines, connPort.ReplaceAllStringFunc(l, func(s string) string {
			name, v, _ := strings.Cut(s, "=")
			if n, _ := strconv.Atoi(v); n < 32768 && name != "id" {
				return s
			}
			i := slices.Index(drawn, v)
			if i < 0 {
				i, drawn = len(drawn), append(drawn, v)
			}
			return fmt.Sprintf("%s=lot%d", name, i)
		}))
	}
	slices.Sort(lines)
	return lines, ids
}

// start runs a program in a namespace until the test ends. It has a file system
// of its own where /run is empty, sshd is a user, and root's shell is sh.
func (h *host) start(dir, name string, args ...string) error {
	const shell = `mount --make-rprivate / && mount -t tmpfs none /run && mkdir -p /run/sshd /run/vsftpd/empty || exit 99
cp /etc/passwd passwd && { grep -q ^sshd: passwd || echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >>passwd; }
sed -i 's#^\(root:.*:\).*#\1/bin/sh#' passwd && mount --bind passwd /etc/passwd && exec "$@"`
	path, err := exec.LookPath(name)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, filepath.Base(name)+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", shell, "sh", path}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := h.do(cmd.Start); err != nil {
		return err
	}
	h.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if h.t.Failed() {
			if b, _ := os.ReadFile(log.Name()); len(b) > 0 {
				h.t.Logf("%s said:\n%s", name, b[max(0, len(b)-600):])
			}
		}
	})
	return nil
}

// listens waits until a socket of a namespace listens.
func (h *host) listens(network string, port int) error {
	var out string
	for range 500 {
		out, _ = h.try("ss", "-Hln", "--"+network, "sport", "=", strconv.Itoa(port))
		if strings.TrimSpace(out) != "" {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("nobody listens on %s port %d", network, port)
}

// said runs a program and returns what it printed and its exit status.
func (h *host) said(name string, args ...string) string {
	out, err := h.try(name, args...)
	var x *exec.ExitError
	switch {
	case errors.As(err, &x):
		return fmt.Sprintf("%sexit %d\n", out, x.ExitCode())
	case err != nil:
		return err.Error() + "\n"
	}
	return out + "exit 0\n"
}

// session is what a comparison does: the outcome has to be the same everywhere,
// and to hold want.
type session struct {
	name string
	// needs are programs; a session is left out where one is not installed.
	needs []string
	want  string
	run   func(r *rival) string
	// table, if not nil, says which lines of the table are compared, and how.
	table func(lines []string) []string
}

// play runs sessions on all rivals at once and compares each with the first.
func play(t *testing.T, rivals []*rival, sessions []session) {
	old := make([]map[string]bool, len(rivals))
	for i := range old {
		old[i] = map[string]bool{}
	}
	for _, s := range sessions {
		t.Run(s.name, func(t *testing.T) {
			for _, p := range s.needs {
				if _, err := exec.LookPath(p); err != nil {
					t.Skipf("%s is not installed", p)
				}
			}
			for i, r := range rivals {
				_, ids := r.table(old[i])
				for _, id := range ids {
					old[i][id] = true
				}
			}
			out := make([]string, len(rivals))
			var wg sync.WaitGroup
			for i, r := range rivals {
				wg.Go(func() {
					start := time.Now()
					out[i] = s.run(r)
					if d := time.Since(start); d > time.Second {
						t.Logf("%s took %s", r.name, d)
					}
				})
			}
			wg.Wait()
			if !strings.Contains(out[0], s.want) {
				t.Errorf("%s: want %q in\n%s", rivals[0].name, s.want, out[0])
			}
			for i, r := range rivals[1:] {
				if out[i+1] != out[0] {
					t.Errorf("%s:\n%s\n%s:\n%s", r.name, out[i+1], rivals[0].name, out[0])
				}
			}
			sameTables(t, rivals, old, s.table)
		})
	}
}

// sameTables waits until the tables are the same. Connections still close when
// the programs that had them are gone.
func sameTables(t *testing.T, rivals []*rival, old []map[string]bool, table func([]string) []string) {
	t.Helper()
	tables := make([]string, len(rivals))
	for range 100 {
		differ := false
		for i, r := range rivals {
			lines, _ := r.table(old[i])
			if table != nil {
				lines = table(lines)
			}
			tables[i] = strings.Join(lines, "\n")
			differ = differ || tables[i] != tables[0]
		}
		if !differ {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	for i, r := range rivals[1:] {
		if tables[i+1] != tables[0] {
			t.Errorf("table of %s:\n%s\nof %s:\n%s", r.name, tables[i+1], rivals[0].name, tables[0])
		}
	}
}

// ended is a table without regard to the number of equal lines, and to how a connection
// of TCP ended: a host that closes before it has read everything sends a reset.
func ended(lines []string) []string {
	for i, l := range lines {
		lines[i] = strings.Replace(l, " CLOSE ", " TIME_WAIT ", 1)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// echoUDP answers datagrams with themselves.
func echoUDP(c net.PacketConn) {
	b := make([]byte, 65536)
	for {
		n, a, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(b[:n], a)
	}
}

// pour reads a connection to its end.
func pour(r io.Reader) int64 { n, _ := io.Copy(io.Discard, r); return n }

package machine

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/socket"
)

// dir writes files into a directory of the test's own.
func dir(t *testing.T, files map[string]string) string {
	t.Helper()
	d := t.TempDir()
	for n, text := range files {
		if err := os.WriteFile(filepath.Join(d, n), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

const byHand = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24, 192.0.2.9/24, "2001:db8:1::1/64", "fe80::1/64"]}
  - {name: wan0, addresses: [203.0.113.2/24], mtu: 1400, mac: "02:00:00:00:00:01", index: 7}
routes:
  - {to: 0.0.0.0/0, via: 203.0.113.1, dev: wan0}
  - {to: "2001:db8:7::/48", via: "2001:db8:1::9"}
  - {to: 198.51.100.0/24, type: blackhole}
sysctl:
  net.netfilter.nf_conntrack_tcp_loose: 0
  net.ipv4.conf.lan0.rp_filter: 1
policy: [{priority: 9, from: 192.0.2.0/24, fwmark: 0x1/0xf, table: 100}, {priority: 8, not: true, iif: lan0, type: prohibit}]
listen: [tcp/22, "udp/192.0.2.1:53", "tcp/[2001:db8:1::1]:80", tcp/8080 transparent mark 0x10, "udp/192.0.2.1:7 peer 192.0.2.10:70 dev lan0"]
`

func TestMachineByHand(t *testing.T) {
	m, errs := Load(dir(t, map[string]string{"machine.yaml": byHand, "rules.v4": "*filter\nCOMMIT\n"}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if len(m.Ifaces) != 3 || m.Ifaces[0].Name != "lo" || !m.Ifaces[0].Loopback || m.Ifaces[0].Index != 1 {
		t.Fatalf("interfaces %+v", m.Ifaces)
	}
	lan, wan := m.Iface("lan0"), m.Iface("wan0")
	if lan.Index != 2 || lan.MTU != 1500 || wan.Index != 7 || wan.MTU != 1400 || wan.MAC != [6]byte{2, 0, 0, 0, 0, 1} {
		t.Errorf("lan %+v wan %+v", lan, wan)
	}
	if a := lan.Addrs; len(a) != 4 || a[0].Secondary || !a[1].Secondary || a[3].Scope != iface.LinkLocal {
		t.Errorf("addresses %+v", a)
	}
	if len(m.Routes) != 3 || m.Routes[0].Dev != wan || m.Routes[1].Dev != lan || m.Routes[2].Type != route.Blackhole || m.Complete4 || m.Complete6 {
		t.Errorf("routes %+v", m.Routes)
	}
	for k, want := range map[string]string{
		"net.netfilter.nf_conntrack_tcp_loose": "0", "net.ipv4.conf.lan0.rp_filter": "1",
		"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1",
	} {
		if m.Sysctl[k] != want {
			t.Errorf("%s is %q, want %q", k, m.Sysctl[k], want)
		}
	}
	want := socket.List{
		{Proto: packet.TCP, Port: 22, V4: true, V6: true},
		{Proto: packet.UDP, Port: 53, V4: true, Addr: netip.MustParseAddr("192.0.2.1")},
		{Proto: packet.TCP, Port: 80, V6: true, Addr: netip.MustParseAddr("2001:db8:1::1")},
		{Proto: packet.TCP, Port: 8080, V4: true, V6: true, Transparent: true, Mark: 16},
		{Proto: packet.UDP, Port: 7, V4: true, Addr: netip.MustParseAddr("192.0.2.1"), Peer: netip.MustParseAddrPort("192.0.2.10:70"), Dev: "lan0"},
	}
	if !slices.Equal(m.Listen, want) {
		t.Errorf("listen %+v", m.Listen)
	}
	policy := append([]route.Rule{
		{Family: packet.IPv4, Priority: 9, From: netip.MustParsePrefix("192.0.2.0/24"), Mark: 1, Mask: 15, Type: route.Unicast, Table: 100},
		{Family: packet.IPv4, Priority: 8, Not: true, In: "lan0", Type: route.Prohibit},
		{Family: packet.IPv6, Priority: 8, Not: true, In: "lan0", Type: route.Prohibit},
	}, append(route.FreshRules(packet.IPv4), route.FreshRules(packet.IPv6)...)...)
	if !slices.Equal(m.Policy, policy) {
		t.Errorf("policy %+v", m.Policy)
	}
	if string(m.Rules4.Text) != "*filter\nCOMMIT\n" || m.Rules6.Text != nil {
		t.Errorf("rules %+v %+v", m.Rules4, m.Rules6)
	}
}

func TestAHostDoesNotForward(t *testing.T) {
	m, errs := Load(dir(t, map[string]string{"machine.yaml": "interfaces: [{name: eth0, addresses: [192.0.2.1/24]}]"}))
	if len(errs) > 0 || m.Sysctl["net.ipv4.ip_forward"] != "" {
		t.Errorf("%v %v", errs, m.Sysctl)
	}
}

func TestSysctlConfWins(t *testing.T) {
	m, errs := Load(dir(t, map[string]string{
		"machine.yaml": byHand,
		"sysctl.conf":  "# a comment\nnet.ipv4.ip_forward = 0\nkernel.hostname = x\nnet/ipv4/ip_default_ttl=32\nnet.netfilter.nf_conntrack_tcp_loose = 1\n",
	}))
	if len(errs) > 0 || m.Sysctl["net.ipv4.ip_forward"] != "0" || m.Sysctl["net.ipv4.ip_default_ttl"] != "32" ||
		m.Sysctl["net.netfilter.nf_conntrack_tcp_loose"] != "1" || m.Sysctl["kernel.hostname"] != "" {
		t.Errorf("%v %v", errs, m.Sysctl)
	}
}

const addrJSON = `[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536,"link_type":"loopback","address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
{},{"ifindex":3,"link":"vb","ifname":"va","flags":["UP"],"mtu":1500,"link_type":"ether","address":"7e:7d:e4:36:b3:6c","addr_info":[
{"family":"inet","local":"192.0.2.1","prefixlen":24,"broadcast":"192.0.2.255","scope":"global","label":"va","valid_life_time":4294967295,"preferred_life_time":4294967295},
{"family":"inet","local":"198.51.100.1","address":"198.51.100.2","prefixlen":32,"scope":"global"},
{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link","deprecated":true,"preferred_life_time":0}]}]`

const routeJSON = `[{"dst":"default","gateway":"192.0.2.9","dev":"va","prefsrc":"192.0.2.5","flags":[],"metrics":[{"mtu":1400}]},
{"dst":"192.0.2.0/24","dev":"va","protocol":"kernel","scope":"link","prefsrc":"192.0.2.1","flags":[]},
{"dst":"203.0.112.0/24","via":{"family":"inet6","host":"2001:db8::99"},"dev":"va","flags":[]},
{"type":"unreachable","dst":"203.0.113.64/26","flags":[]},
{"type":"local","dst":"192.0.2.1","dev":"va","table":"local","protocol":"kernel","scope":"host","prefsrc":"192.0.2.1","flags":[]},
{"dst":"default","gateway":"2001:db8::2","dev":"va","table":"100","metric":1024,"flags":[],"pref":"medium"},
{"dst":"default","gateway":"2001:db8::3","dev":"va","metric":1024,"flags":[],"pref":"medium"},
{"dst":"fe80::/64","dev":"va","protocol":"kernel","metric":256,"flags":[],"pref":"medium"}]`

func TestMachineOfIproute(t *testing.T) {
	m, errs := Load(dir(t, map[string]string{
		"addr.json": addrJSON, "route.json": routeJSON,
		"sockets.txt": "tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\nudp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*\ntcp LISTEN 0 128 *:80 *:*\ntcp LISTEN 0 128 [fe80::1]%va:25 [::]:*\n" +
			"tcp ESTAB 0 0 192.0.2.1:22 192.0.2.7:5000 ino:9 fwmark:0x5 sk:1 inet-sockopt: ( transparent )\nudp UNCONN 0 0 192.0.2.1:9 0.0.0.0:*\n\t inet-sockopt: ( transparent mc_loop )\n",
		"rule.json": `[{"priority":0,"src":"all","table":"local"},
{"priority":100,"not":null,"src":"192.0.2.0","srclen":24,"dst":"198.51.100.1","fwmark":"0x1","fwmask":"0xff","iif":"va","table":"100","protocol":"static"},
{"priority":101,"src":"all","action":"unreachable"},{"priority":102,"src":"all","table":"vpn"},{"priority":32766,"src":"all","table":"main"}]`,
	}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	va := m.Iface("va")
	if len(m.Ifaces) != 2 || va == nil || va.Index != 3 || va.MAC[0] != 0x7e || len(va.Addrs) != 3 {
		t.Fatalf("%+v", va)
	}
	if a := va.Addrs; a[0].Broadcast.String() != "192.0.2.255" || a[1].Peer.String() != "198.51.100.2" || !a[2].Deprecated || a[2].Scope != iface.LinkLocal {
		t.Errorf("addresses %+v", a)
	}
	var got []string
	for _, r := range m.Routes {
		got = append(got, r.To.String())
	}
	want := []string{"0.0.0.0/0", "192.0.2.0/24", "203.0.112.0/24", "203.0.113.64/26", "192.0.2.1/32", "::/0", "::/0", "fe80::/64"}
	if !slices.Equal(got, want) {
		t.Errorf("routes %v, want %v", got, want)
	}
	if m.Routes[0].MTU != 1400 || m.Routes[2].Via.String() != "2001:db8::99" || m.Routes[3].Type != route.Unreachable ||
		m.Routes[4].Table != 255 || m.Routes[5].Metric != 1024 || m.Routes[5].Table != 100 || !m.Complete4 || m.Complete6 {
		t.Errorf("%+v complete %v %v", m.Routes, m.Complete4, m.Complete6)
	}
	want6 := socket.List{
		{Proto: packet.TCP, Port: 22, V4: true},
		{Proto: packet.UDP, Port: 53, V4: true, Addr: netip.MustParseAddr("127.0.0.53"), Dev: "lo"},
		{Proto: packet.TCP, Port: 80, V4: true, V6: true},
		{Proto: packet.TCP, Port: 25, V6: true, Addr: netip.MustParseAddr("fe80::1"), Dev: "va"},
		{Proto: packet.TCP, Port: 22, V4: true, Addr: netip.MustParseAddr("192.0.2.1"), Peer: netip.MustParseAddrPort("192.0.2.7:5000"), Mark: 5, Transparent: true},
		{Proto: packet.UDP, Port: 9, V4: true, Addr: netip.MustParseAddr("192.0.2.1"), Transparent: true},
	}
	all := netip.Prefix{}
	policy := []route.Rule{
		{Family: packet.IPv4, Type: route.Unicast, Table: route.TableLocal},
		{Family: packet.IPv4, Priority: 100, From: netip.MustParsePrefix("192.0.2.0/24"), To: netip.MustParsePrefix("198.51.100.1/32"), Mark: 1, Mask: 255, In: "va", Type: route.Unicast, Table: 100, Not: true},
		{Family: packet.IPv4, Priority: 101, From: all, Type: route.Unreachable},
		{Family: packet.IPv4, Priority: 102, Type: route.Unicast, Table: -1},
		{Family: packet.IPv4, Priority: 32766, Type: route.Unicast, Table: route.TableMain},
	}
	if !slices.Equal(m.Policy, policy) {
		t.Errorf("policy %+v", m.Policy)
	}
	if !slices.Equal(m.Listen, want6) {
		t.Errorf("listen %+v", m.Listen)
	}
}

func TestRoute6JSONReplacesTheOnesInRouteJSON(t *testing.T) {
	m, errs := Load(dir(t, map[string]string{
		"addr.json": addrJSON, "route.json": routeJSON,
		"route6.json": `[{"dst":"default","gateway":"fe80::9","dev":"va"},{"type":"local","dst":"fe80::1","dev":"va","table":"local"}]`,
	}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	n := 0
	for _, r := range m.Routes {
		if r.To.Addr().Is6() {
			n++
		}
	}
	if n != 2 || !m.Complete6 {
		t.Errorf("%d IPv6 routes, complete %v", n, m.Complete6)
	}
}

func TestEveryErrorHasItsPlace(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"an empty directory", map[string]string{}, []string{
			"D/machine.yaml:1:1: not found, and no addr.json either: a machine is described by machine.yaml, or by addr.json and route.json",
		}},
		{"two descriptions", map[string]string{"machine.yaml": byHand, "addr.json": addrJSON}, []string{
			"D/machine.yaml:1:1: the directory has an addr.json too; a machine is described by one of them",
		}},
		{"no routes", map[string]string{"addr.json": addrJSON}, []string{
			"D/route.json:1:1: not found; a machine with addr.json needs it (ip -j route show table all)",
		}},
		{"YAML that is none", map[string]string{"machine.yaml": "interfaces: [\n  {name: x\n"}, []string{
			"D/machine.yaml:3:1: YAML: did not find expected ',' or '}'",
		}},
		{"a machine full of mistakes", map[string]string{
			"machine.yaml": `interfaces:
  - {name: lan0, addresses: [192.0.2.300/24, 192.0.2.1/24], mtu: huge}
  - {nmae: wan0}
  - {name: lan0}
  - {name: local}
routes:
  - {to: 192.0.2.1/24, dev: lan0}
  - {to: 0.0.0.0/0, via: 203.0.113.1, dev: wan7}
  - {to: 0.0.0.0/0, via: 203.0.113.1}
sysctl:
  net.ipv4.ip_foward: 1
  net.ipv4.conf.all.rp_filter: 3
listen: [tcp/http]
color: red
`,
			"sysctl.conf": "net.ipv4.ip_forward = maybe\n",
			"sockets.txt": "tcp LISTEN 0 128 0.0.0.0:x 0.0.0.0:*\n",
		}, []string{
			`D/machine.yaml:2:30: "192.0.2.300/24" is not an address with a prefix length, as 192.0.2.1/24`,
			`D/machine.yaml:2:66: mtu: "huge" is not a number from 68 to 65536`,
			`D/machine.yaml:3:5: an interface without a name`,
			`D/machine.yaml:3:6: unknown key "nmae"; known: name, addresses, mtu, mac, index, link`,
			`D/machine.yaml:4:12: interface "lan0" is listed twice`,
			`D/machine.yaml:5:12: "local" stands for the machine itself and cannot name an interface`,
			`D/machine.yaml:7:10: to: "192.0.2.1/24" has address bits behind its prefix; 192.0.2.0/24 is meant?`,
			`D/machine.yaml:8:44: dev: the machine has no interface "wan7"`,
			`D/machine.yaml:9:5: a route without dev, and no interface has an address in the network of its gateway`,
			`D/machine.yaml:11:3: weir knows no sysctl "net.ipv4.ip_foward"; net.ipv4.ip_forward is meant?`,
			`D/machine.yaml:12:32: net.ipv4.conf.all.rp_filter: 3 is not between 0 and 2`,
			`D/machine.yaml:13:10: "http" is not a port`,
			`D/machine.yaml:14:1: unknown key "color"; known: interfaces, routes, policy, sysctl, listen, local`,
			`D/sysctl.conf:1:23: net.ipv4.ip_forward: "maybe" is not a number`,
			`D/sockets.txt:1:18: "x" is not a port`,
		}},
		{"routes that cannot be", map[string]string{"addr.json": addrJSON, "route.json": `[
{"dst":"default","gateway":"192.0.2.9","dev":"eth7","flags":[]},
{"dst":"203.0.113.0/24","flags":[],"nexthops":[{"gateway":"192.0.2.7","dev":"va"}]},
{"dst":"x"}]`}, []string{
			`D/route.json:2:1: route default: addr.json has no interface "eth7"`,
			`D/route.json:3:1: route 203.0.113.0/24: several next hops (multipath) are not supported`,
			`D/route.json:4:1: route x: its destination is not a network`,
		}},
		{"JSON cut off", map[string]string{"addr.json": addrJSON[:300], "route.json": "[]"}, []string{
			"D/addr.json:2:99: JSON: unexpected EOF",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := dir(t, c.files)
			_, errs := Load(d)
			var got []string
			for _, e := range errs {
				got = append(got, strings.ReplaceAll(e.Error(), d, "D"))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestNoDirectory(t *testing.T) {
	if m, errs := Load(filepath.Join(t.TempDir(), "nothing")); m != nil || len(errs) != 1 {
		t.Errorf("%v %v", m, errs)
	}
}

func FuzzYAML(f *testing.F) {
	f.Add(byHand)
	f.Fuzz(func(t *testing.T, s string) {
		m, errs := FromYAML("f", []byte(s), 0)
		if len(errs) == 0 && len(m.Ifaces) < 1 {
			t.Error("no interface and no error")
		}
	})
}

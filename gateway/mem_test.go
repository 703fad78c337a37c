package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/conntrack"
	"weir/engine"
	"weir/ipset/text"
	"weir/packet"
)

// machineFiles writes a machine directory.
func machineFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	d := t.TempDir()
	for n, text := range files {
		writeFile(t, filepath.Join(d, n), text)
	}
	return d
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const homeYAML = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24, "2001:db8:1::1/64"], link: tun}
  - {name: wan0, addresses: [203.0.113.2/24, "2001:db8:2::2/64"], link: tun}
routes:
  - {to: default, via: 203.0.113.1}
`

const homeRules = `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
`

// udp4 is a UDP datagram.
func udp4(src, dst string, text string) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	b := make([]byte, 28, 28+len(text))
	b[0], b[8], b[9] = 0x45, 64, packet.UDP
	copy(b[12:], s.Addr().AsSlice())
	copy(b[16:], d.Addr().AsSlice())
	be := binary.BigEndian
	be.PutUint16(b[20:], s.Port())
	be.PutUint16(b[22:], d.Port())
	b = append(b, text...)
	be.PutUint16(b[2:], uint16(len(b)))
	be.PutUint16(b[24:], uint16(len(b)-20))
	be.PutUint16(b[10:], packet.IPv4HeaderChecksum(b[:20]))
	p := packet.Packet{Data: b, Family: packet.IPv4}
	p.Reparse()
	p.FixL4Checksum()
	return b
}

// ends is where a packet goes, as text.
func ends(b []byte) string {
	a, _ := netip.AddrFromSlice(b[12:16])
	c, _ := netip.AddrFromSlice(b[16:20])
	be := binary.BigEndian
	return netip.AddrPortFrom(a, be.Uint16(b[20:])).String() + " > " + netip.AddrPortFrom(c, be.Uint16(b[22:])).String() + " " + string(b[28:])
}

// bench is a gateway with links in memory.
type bench struct {
	g        *Gateway
	lan, wan *End
}

func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	b := &bench{}
	var lan, wan *End
	lan, b.lan = NewLink("lan0", "client", 1500, 16)
	wan, b.wan = NewLink("wan0", "server", 1500, 16)
	g, errs := New(machineFiles(t, files), Options{Devices: map[string]Device{"lan0": lan, "wan0": wan}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	b.g = g
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) write(t *testing.T, e *End, data []byte) {
	t.Helper()
	if n, err := e.Write([]Packet{{Data: data}}); n != 1 {
		t.Fatal(err)
	}
}

// settle waits until all that was written to the inside is carried: weir answers
// behind it that it has no such port.
func (b *bench) settle(t *testing.T) {
	t.Helper()
	b.write(t, b.lan, udp4("192.0.2.10:1", "192.0.2.1:9", ""))
	if d := b.read(t, b.lan); d[9] != packet.ICMP {
		t.Errorf("%x", d)
	}
}

// read waits for a packet.
func (b *bench) read(t *testing.T, e *End) []byte {
	t.Helper()
	var one [1]Packet
	if n, err := e.Read(one[:]); n != 1 {
		t.Fatal(err)
	}
	return one[0].Data
}

func TestThroughLinksInMemory(t *testing.T) {
	b := newBench(t, map[string]string{"machine.yaml": homeYAML, "rules.v4": homeRules})
	b.write(t, b.lan, udp4("192.0.2.10:4000", "198.51.100.1:53", "ask"))
	if got, want := ends(b.read(t, b.wan)), "203.0.113.2:4000 > 198.51.100.1:53 ask"; got != want {
		t.Errorf("out: %s, want %s", got, want)
	}
	// What was not asked for is dropped; the answer behind it comes first.
	b.write(t, b.wan, udp4("198.51.100.9:9", "192.0.2.10:4000", "unasked"))
	b.write(t, b.wan, udp4("198.51.100.1:53", "203.0.113.2:4000", "answer"))
	if got, want := ends(b.read(t, b.lan)), "198.51.100.1:53 > 192.0.2.10:4000 answer"; got != want {
		t.Errorf("back: %s, want %s", got, want)
	}
	eventually(t, "not all is counted", func() error {
		n := 0
		b.g.Do(func(m *engine.Machine) { n = m.Conntrack().Len() })
		st := b.g.Stats()
		if n != 1 || st[0].RxPackets != 1 || st[0].TxPackets != 1 || st[1].RxPackets != 2 || st[1].TxPackets != 1 {
			return fmt.Errorf("%d connections, counters %+v", n, st)
		}
		return nil
	})
}

func TestReloadSwapsWholeOrNotAtAll(t *testing.T) {
	b := newBench(t, map[string]string{"machine.yaml": homeYAML, "rules.v4": homeRules})
	rules := filepath.Join(b.g.Dir(), "rules.v4")
	send := func(port string) {
		b.write(t, b.lan, udp4("192.0.2.10:4000", "198.51.100.1:"+port, port))
	}
	send("1")
	b.read(t, b.wan)

	writeFile(t, rules, "*filter\n-A FORWARD -j NOSUCH\nCOMMIT\n")
	if errs := b.g.Reload(); len(errs) != 1 {
		t.Errorf("bad rules: %v", errs)
	}
	send("2")
	if got, want := ends(b.read(t, b.wan)), "203.0.113.2:4000 > 198.51.100.1:2 2"; got != want {
		t.Errorf("after a reload that failed: %s, want %s", got, want)
	}

	writeFile(t, rules, "*filter\n-A FORWARD -p udp -m udp --dport 3 -j DROP\nCOMMIT\n")
	if errs := b.g.Reload(); len(errs) > 0 {
		t.Fatal(errs)
	}
	send("3")
	send("4")
	if got, want := ends(b.read(t, b.wan)), "192.0.2.10:4000 > 198.51.100.1:4 4"; got != want {
		t.Errorf("after a reload: %s, want %s", got, want)
	}

	for _, x := range []struct{ name, file, text string }{
		{"other interfaces", "machine.yaml", strings.Replace(homeYAML, "lan0,", "lan0, mtu: 1400,", 1)},
		{"another link", "machine.yaml", strings.Replace(homeYAML, "link: tun", "link: tun:x", 1)},
		{"another socket", "machine.yaml", homeYAML + "listen: [tcp/22]\n"},
		{"other names", "names.conf", "allow example.com\n"},
		{"other labels", "connlabel.conf", "1 one\n"},
	} {
		name := filepath.Join(b.g.Dir(), x.file)
		writeFile(t, name, x.text)
		if errs := b.g.Reload(); len(errs) != 1 || !strings.Contains(errs[0].Error(), "restart") {
			t.Errorf("%s: %v", x.name, errs)
		}
		os.Remove(name)
		writeFile(t, filepath.Join(b.g.Dir(), "machine.yaml"), homeYAML)
	}
	writeFile(t, filepath.Join(b.g.Dir(), "machine.yaml"), homeYAML+"  - {to: 198.51.100.5/32, type: blackhole}\n")
	if errs := b.g.Reload(); len(errs) > 0 {
		t.Fatal(errs)
	}
	b.write(t, b.lan, udp4("192.0.2.10:4000", "198.51.100.5:5", "lost"))
	send("6")
	if got := ends(b.read(t, b.wan)); got[len(got)-1] != '6' {
		t.Errorf("after new routes: %s", got)
	}
}

func TestReloadTakesSets(t *testing.T) {
	const rules = "*filter\n:FORWARD DROP\n-A FORWARD -m set --match-set ok dst -j ACCEPT\n-A FORWARD -m set --match-set both dst -j ACCEPT\nCOMMIT\n"
	const ok, live = "create ok hash:ip\nadd ok 198.51.100.1\n", "create live hash:ip timeout 600\n"
	const both = "create both list:set\nadd both live\n"
	b := newBench(t, map[string]string{"machine.yaml": homeYAML, "rules.v4": rules, "ipset.save": ok + live + both})
	reload := func(sets, rules string) []error {
		writeFile(t, filepath.Join(b.g.Dir(), "ipset.save"), sets)
		writeFile(t, filepath.Join(b.g.Dir(), "rules.v4"), rules)
		return b.g.Reload()
	}
	n := 0
	// passes sends to each of the addresses; only what goes to want comes.
	passes := func(when string, want ...string) {
		t.Helper()
		n++
		for i := range 5 {
			b.write(t, b.lan, udp4(fmt.Sprintf("192.0.2.10:%d", 4000+n), fmt.Sprintf("198.51.100.%d:53", i+1), when))
		}
		for _, w := range want {
			if got, all := ends(b.read(t, b.wan)), fmt.Sprintf("192.0.2.10:%d > %s:53 %s", 4000+n, w, when); got != all {
				t.Errorf("%s: %s, want %s", when, got, all)
			}
		}
		b.settle(t)
	}
	passes("at first", "198.51.100.1")
	b.g.Do(func(m *engine.Machine) {
		if out, _, code := text.Run(m.Sets(), []string{"add", "live", "198.51.100.3"}, nil, b.g.Now(), nil); code != 0 {
			t.Error(string(out))
		}
	})
	passes("with a member of its own", "198.51.100.1", "198.51.100.3")
	for _, x := range []struct{ name, sets, rules string }{
		{"a text that is none", "create ok hash:nothing\n", rules},
		{"a set that a rule wants is not there", live + both, rules},
		{"a set of another family", "create ok hash:ip family inet6\n" + live + both, rules},
		{"rules that are none", ok, "*filter\n-A FORWARD -j NOSUCH\nCOMMIT\n"},
	} {
		if errs := reload(x.sets, x.rules); len(errs) == 0 {
			t.Error(x.name)
		}
		passes(x.name, "198.51.100.1", "198.51.100.3")
	}
	if errs := reload("create ok hash:ip\nadd ok 198.51.100.2\n"+live+both+"create new hash:ip\nadd new 198.51.100.5\n",
		strings.Replace(rules, "COMMIT", "-A FORWARD -m set --match-set new dst -j ACCEPT\nCOMMIT", 1)); len(errs) > 0 {
		t.Fatal(errs)
	}
	passes("other sets", "198.51.100.2", "198.51.100.3", "198.51.100.5")
	if errs := reload(ok+live+both, rules); len(errs) > 0 {
		t.Fatal(errs)
	}
	passes("as before", "198.51.100.1", "198.51.100.3")
	if errs := reload(ok+live+"add live 198.51.100.4\n"+both, rules); len(errs) > 0 {
		t.Fatal(errs)
	}
	passes("a set that the file changed begins anew", "198.51.100.1", "198.51.100.4")
	if errs := reload("", "*filter\nCOMMIT\n"); len(errs) > 0 {
		t.Fatal(errs)
	}
	passes("none", "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4", "198.51.100.5")
}

func TestReloadTakesSysctls(t *testing.T) {
	b := newBench(t, map[string]string{"machine.yaml": homeYAML, "rules.v4": homeRules})
	reload := func(sysctls string) []error {
		writeFile(t, filepath.Join(b.g.Dir(), "machine.yaml"), homeYAML+sysctls)
		return b.g.Reload()
	}
	send := func(text string) { b.write(t, b.lan, udp4("192.0.2.10:4000", "198.51.100.1:53", text)) }
	timeout := func() (left int64) {
		b.g.Do(func(m *engine.Machine) {
			m.Conntrack().Each(b.g.Now(), func(c *conntrack.Conn) bool {
				if c.Tuple[conntrack.Original].DstL4 == 53 {
					left = c.Expires(b.g.Now()) / 1e9
				}
				return true
			})
		})
		return left
	}
	send("first")
	b.read(t, b.wan)
	if n := timeout(); n < 20 || n > 30 {
		t.Errorf("%d s by default", n)
	}
	if errs := reload("sysctl: {net.ipv4.ip_forward: 0}\n"); len(errs) > 0 {
		t.Fatal(errs)
	}
	send("lost")
	b.settle(t)
	if errs := reload("sysctl: {net.netfilter.nf_conntrack_udp_timeout: 500, net.ipv6.conf.all.forwarding: 0}\n"); len(errs) > 0 {
		t.Fatal(errs)
	}
	if n := timeout(); n > 30 {
		t.Errorf("%d s before the next packet", n)
	}
	send("second")
	if got, want := ends(b.read(t, b.wan)), "203.0.113.2:4000 > 198.51.100.1:53 second"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if n := timeout(); n < 490 || n > 500 || b.g.routes6.Load() {
		t.Errorf("%d s, router for IPv6: %v", n, b.g.routes6.Load())
	}
	if errs := reload("sysctl: {net.netfilter.nf_conntrack_udp_timeout: long}\n"); len(errs) != 1 {
		t.Errorf("no number: %v", errs)
	}
	if errs := reload(""); len(errs) > 0 || !b.g.routes6.Load() {
		t.Error(errs)
	}
	send("third")
	b.read(t, b.wan)
	if n := timeout(); n > 30 {
		t.Errorf("%d s without the sysctl", n)
	}
}

func TestAnInterfaceNeedsALink(t *testing.T) {
	d := machineFiles(t, map[string]string{"machine.yaml": "interfaces: [{name: lan0, addresses: [192.0.2.1/24]}]"})
	if _, errs := New(d, Options{}); len(errs) != 1 {
		t.Errorf("%v", errs)
	}
}

// eventually waits for f, for what happens soon but not at once.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for range 200 {
		if err = f(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(errors.Join(errors.New(what), err))
}

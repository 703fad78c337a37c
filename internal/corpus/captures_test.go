package corpus

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/capture"
	"weir/internal/gen"
	"weir/internal/kernel"
	"weir/internal/linuxdiff"
	"weir/packet"
)

// gateways are the rules that the captures are sent through.
var gateways = map[string][2]string{
	"masquerade": {`*raw
-A PREROUTING -j TRACE
-A OUTPUT -j TRACE
COMMIT
*mangle
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
COMMIT
*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP
:FORWARD DROP
-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -i lan0 -o wan0 -j ACCEPT
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
-A FORWARD -j REJECT
COMMIT
`, `*raw
-A PREROUTING -j TRACE
-A OUTPUT -j TRACE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
-A FORWARD -j REJECT
COMMIT
`},
	"published": {`*raw
-A PREROUTING -j TRACE
-A OUTPUT -j TRACE
COMMIT
*nat
-A PREROUTING -i lan0 -p udp -m udp --dport 53 -j DNAT --to-destination 198.51.100.53:5353
-A PREROUTING -i lan0 -p tcp -m multiport --dports 80,443,21 -j DNAT --to-destination 198.51.100.10-198.51.100.19:8000-8100
-A POSTROUTING -o wan0 -p udp -j SNAT --to-source 203.0.113.10-203.0.113.20
-A POSTROUTING -o wan0 -p tcp -j SNAT --to-source 203.0.113.30:20000-20100
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
-A FORWARD -m state --state NEW -m comment --comment "counted"
-A FORWARD -m conntrack --ctstate DNAT -m length --length 0:100
-A FORWARD -p tcp -m tcpmss --mss 1000:1400
-A FORWARD -p tcp -m tcp --tcp-option 4
COMMIT
`, `*raw
-A PREROUTING -j TRACE
-A PREROUTING -p udp -j CT --notrack
COMMIT
*filter
:FORWARD ACCEPT
-A FORWARD -m conntrack --ctstate UNTRACKED
COMMIT
`},
}

// TestCapturesThroughTheKernel sends the captures of other projects through
// the kernel and through weir, all packets in a row, and compares everything.
func TestCapturesThroughTheKernel(t *testing.T) {
	d := dir(t, "pcaps")
	if k, err := kernel.New(kernel.Config{}); err != nil {
		if errors.Is(err, kernel.ErrUnavailable) && os.Getenv("WEIR_REQUIRE_KERNEL") != "1" {
			t.Skip(err)
		}
		t.Fatal(err)
	} else {
		k.Close()
	}
	files, _ := filepath.Glob(filepath.Join(d, "*.*cap"))
	if len(files) == 0 {
		t.Fatal("no captures")
	}
	r := linuxdiff.NewRunner()
	defer r.Close()
	p := netip.MustParsePrefix
	machine := gen.Machine{
		Ifaces: []kernel.Iface{
			{Name: "lan0", MTU: 1500, Addrs: []netip.Prefix{p("192.0.2.1/24"), p("2001:db8:1::1/64")}},
			{Name: "wan0", MTU: 1400, Addrs: []netip.Prefix{p("203.0.113.2/24"), p("2001:db8:2::2/64")}},
		},
		Routes: []kernel.Route{
			{To: p("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: "wan0"},
			{To: p("10.0.0.0/8"), Dev: "lan0"}, {To: p("172.16.0.0/12"), Dev: "lan0"}, {To: p("192.168.0.0/16"), Dev: "lan0"},
			{To: p("::/0"), Via: netip.MustParseAddr("2001:db8:2::1"), Dev: "wan0"},
			{To: p("fc00::/7"), Dev: "lan0"},
		},
		Sysctl: map[string]string{},
	}
	for name, rules := range gateways {
		for _, file := range files {
			t.Run(name+"/"+filepath.Base(file), func(t *testing.T) {
				c := gen.Case{Machine: machine, Rules4: whole(rules[0]), Rules6: whole(rules[1]), Packets: packets(t, file)}
				rep, err := r.ReplayHere(&c)
				if err != nil {
					t.Fatal(err)
				}
				if rep.Diff != nil {
					in := ""
					if i := rep.Diff.Packet; i < len(c.Packets) {
						in = c.Packets[i].In + " " + linuxdiff.Brief(c.Packets[i].Data)
					}
					t.Errorf("%d packets; %s\n%s", len(c.Packets), in, rep.Diff)
				}
			})
		}
	}
}

// whole adds the tables that rules leave out, since a table that was ever used
// in a namespace stays: empty, but for TRACE in raw.
func whole(rules string) string {
	if !strings.Contains(rules, "*raw\n") {
		rules += "*raw\n-A PREROUTING -j TRACE\n-A OUTPUT -j TRACE\nCOMMIT\n"
	}
	for _, name := range []string{"raw", "mangle", "nat", "filter", "security"} {
		if !strings.Contains(rules, "*"+name+"\n") {
			rules += "*" + name + "\nCOMMIT\n"
		}
	}
	return rules
}

// packets reads the IP packets of a capture. Private sources are inside.
func packets(t *testing.T, file string) (list []gen.Packet) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := capture.NewReader(f, file)
	if err != nil {
		t.Fatal(err)
	}
	var rec capture.Record
	var fr capture.Frame
	for {
		if err := r.Next(&rec); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		rec.Decode(&fr)
		var p packet.Packet
		if fr.Why != "" || packet.Parse(bytes.Clone(fr.IP), &p) != nil {
			continue
		}
		in := "wan0"
		if a := p.Src().IP(p.Family); a.IsPrivate() || a.IsLinkLocalUnicast() || strings.HasPrefix(a.String(), "fd") {
			in = "lan0"
		}
		list = append(list, gen.Packet{In: in, Data: p.Data})
	}
}

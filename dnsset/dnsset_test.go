package dnsset_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"weir/dnsset"
	"weir/engine"
	"weir/iface"
	"weir/route"
	"weir/scenario/line"
)

const rules = `*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -p udp --dport 53 -j ACCEPT
-A FORWARD -i lan0 -m set --match-set allow dst -j ACCEPT
COMMIT
`

const names = `# who may be reached
resolver 198.51.100.53
allow api.example.com *.example.org
`

func TestNamesOpenWhatTheyResolveTo(t *testing.T) {
	a := func(name, addr string, ttl uint32) dnsmessage.Resource {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl},
			Body: &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()}}
	}
	alias := func(name, to string) dnsmessage.Resource {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 60},
			Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}}
	}
	const ask = "lan0 udp 192.0.2.10:4000 > 198.51.100.53:53"
	const answer = "wan0 udp 198.51.100.53:53 > 203.0.113.2:4000"
	for _, c := range []struct {
		name     string
		question string
		answers  []dnsmessage.Resource
		packets  [2]string // the question and the answer
		to       string
		after    int64 // seconds
		opens    bool
	}{
		{"an address of a name that is wanted", "api.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, true},
		{"in capital letters", "API.Example.COM.", []dnsmessage.Resource{a("api.EXAMPLE.com.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, true},
		{"another address", "api.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.81", 1, false},
		{"after the TTL", "api.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 61, false},
		{"by way of an alias", "api.example.com.", []dnsmessage.Resource{alias("api.example.com.", "cdn.example.net."), a("cdn.example.net.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, true},
		{"an address of an alias of nobody", "api.example.com.", []dnsmessage.Resource{alias("other.example.com.", "cdn.example.net."), a("cdn.example.net.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, false},
		{"a name below the wildcard", "a.b.example.org.", []dnsmessage.Resource{a("a.b.example.org.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, true},
		{"the name of the wildcard itself", "example.org.", []dnsmessage.Resource{a("example.org.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, false},
		{"a name that ends alike", "notexample.org.", []dnsmessage.Resource{a("notexample.org.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, false},
		{"a name that is not wanted", "www.example.com.", []dnsmessage.Resource{a("www.example.com.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, false},
		{"an answer that smuggles a wanted name in", "www.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)}, [2]string{ask, answer}, "198.51.100.80", 1, false},
		{"a resolver that nobody trusts", "api.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)},
			[2]string{"lan0 udp 192.0.2.10:4000 > 198.51.100.54:53", "wan0 udp 198.51.100.54:53 > 203.0.113.2:4000"}, "198.51.100.80", 1, false},
		{"an answer that nobody asked for", "api.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)},
			[2]string{"lan0 udp 192.0.2.10:4001 > 198.51.100.53:53", answer}, "198.51.100.80", 1, false},
		{"a guest that pretends to be the resolver", "api.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)},
			[2]string{ask, "lan0 udp 198.51.100.53:53 > 203.0.113.2:4000"}, "198.51.100.80", 1, false},
		{"another port", "api.example.com.", []dnsmessage.Resource{a("api.example.com.", "198.51.100.80", 60)},
			[2]string{"lan0 udp 192.0.2.10:4000 > 198.51.100.53:5353", "wan0 udp 198.51.100.53:5353 > 203.0.113.2:4000"}, "198.51.100.80", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := machine(t, names)
			msg := dnsmessage.Message{Header: dnsmessage.Header{ID: 1, Response: true},
				Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(c.question), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}, Answers: c.answers}
			b, err := msg.Pack()
			if err != nil {
				t.Fatal(err)
			}
			now := int64(1e18)
			send(t, m, c.packets[0]+" len=40", now)
			send(t, m, fmt.Sprintf("%s hex=%x", c.packets[1], b), now+1e6)
			out := send(t, m, "lan0 tcp 192.0.2.10:5000 > "+c.to+":443 S", now+c.after*1e9)
			if opened := len(out) == 1; opened != c.opens {
				t.Errorf("reached: %v, want %v", opened, c.opens)
			}
		})
	}
}

// machine is a router with names.
func machine(t testing.TB, text string) *engine.Machine {
	t.Helper()
	lan := &iface.Iface{Name: "lan0", Index: 2, MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}}
	wan := &iface.Iface{Name: "wan0", Index: 3, MTU: 1500, Addrs: []iface.Addr{{Prefix: netip.MustParsePrefix("203.0.113.2/24")}}}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{lan, wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast}},
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(rules)},
		Sets:   engine.Text{Name: "ipset.save", Text: []byte("create allow hash:ip timeout 0\n")},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1"},
		Setup: func(m *engine.Machine) []error {
			c, errs := dnsset.Parse("names.conf", []byte(text))
			if len(errs) > 0 {
				return errs
			}
			return dnsset.Watch(m, c)
		},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return m
}

// send takes a packet in and returns what left.
func send(t testing.TB, m *engine.Machine, text string, now int64) []engine.Output {
	t.Helper()
	p, err := line.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return m.Receive(m.Ifaces().Name(p.In), p.Link, p.Data[0], now).Out
}

// A connection to a resolver is not remembered: its later answers are read, too.
func TestEveryAnswerOfAConnectionIsRead(t *testing.T) {
	m := machine(t, names)
	for i := range byte(5) {
		now := int64(1e18) + int64(i)
		msg := dnsmessage.Message{Header: dnsmessage.Header{Response: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("api.example.com."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
			Answers: []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("api.example.com."), Class: dnsmessage.ClassINET, TTL: 9},
				Body: &dnsmessage.AResource{A: [4]byte{198, 51, 100, 80 + i}}}}}
		b, err := msg.Pack()
		if err != nil {
			t.Fatal(err)
		}
		send(t, m, "lan0 udp 192.0.2.10:4000 > 198.51.100.53:53 len=40", now)
		send(t, m, fmt.Sprintf("wan0 udp 198.51.100.53:53 > 203.0.113.2:4000 hex=%x", b), now)
		if len(send(t, m, fmt.Sprintf("lan0 tcp 192.0.2.10:5000 > 198.51.100.%d:443 S", 80+i), now)) != 1 {
			t.Errorf("the address of answer %d is not reached", i)
		}
	}
}

func TestBadConfigurations(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a resolver that is no address": {"resolver dns.example.com\n", "names.conf:1:10: dns.example.com is not an address"},
		"a wildcard in the middle":      {"resolver 198.51.100.53\nallow a.*.example.com\n", "names.conf:2:7: a.*.example.com is not a name"},
		"nothing behind the set":        {"allow\n", "names.conf:1:1: allow: something has to follow"},
		"nobody is trusted":             {"allow a.example.com\n", "names.conf:1:1: no resolver is trusted"},
		"a time that is none":           {"least 0\n", "names.conf:1:7: 0 is not a time"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := dnsset.Parse("names.conf", []byte(c.text))
			if len(errs) == 0 || !strings.Contains(errs[0].Error(), c.want) {
				t.Errorf("%v, want %s", errs, c.want)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("api.example.com."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers: []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("api.example.com."), Class: dnsmessage.ClassINET, TTL: 9},
			Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("a.example.net.")}}}}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1400 {
			return
		}
		m := machine(t, names)
		send(t, m, "lan0 udp 192.0.2.10:4000 > 198.51.100.53:53 len=40", 1e18)
		send(t, m, fmt.Sprintf("wan0 udp 198.51.100.53:53 > 203.0.113.2:4000 hex=%x", b), 1e18)
	})
}

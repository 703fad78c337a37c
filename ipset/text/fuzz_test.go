package text

import (
	"bytes"
	"strings"
	"testing"

	"weir/ipset"
)

// FuzzRestore: no text makes restore panic, and what it loaded is saved in a
// text that loads to the same.
func FuzzRestore(f *testing.F) {
	for _, s := range []string{
		"create a hash:ip,port counters comment timeout 5\nadd a 192.0.2.1,udp:53-55 comment \"x y\"\n",
		"create n hash:net family inet6 skbinfo\nadd n 2001:db8::/32 nomatch skbmark 0x1/0xff skbprio 1:2 skbqueue 3\n",
		"create i hash:net,iface\nadd i 0.0.0.0/0,eth wildcard\nadd i 192.0.2.0/24,physdev:eth1\n",
		"create b bitmap:ip,mac range 192.0.2.0/24\nadd b 192.0.2.1,02:00:00:00:00:01\n",
		"create p bitmap:port range 0-1023\nadd p 80-90\ndel p 85\n",
		"create m hash:ip,mark markmask 0xff\nadd m 192.0.2.1,5\ncreate x hash:net,port,net\nadd x 192.0.2.0/24,icmp:ping,198.51.100.0/25\n",
		"create a hash:mac\nadd a 02:00:00:00:00:01\ncreate l list:set size 4\nadd l a\nswap a l\nrename a b\n",
		"create nn hash:net,net\nadd nn 192.0.2.0-192.0.2.9,198.51.100.1\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if len(src) > 300 || hugeRange(src) {
			return
		}
		a := ipset.New(nil)
		Run(a, []string{"restore"}, []byte(src), 1, nil)
		one := Save(a, false, 1)
		if bytes.ContainsAny([]byte(src), "\"'\\") || strings.Contains(src, "forceadd") {
			return
		}
		b := ipset.New(nil)
		if _, errs, code := Run(b, []string{"restore"}, one, 1, nil); code != 0 {
			if bytes.Contains(one, []byte(" timeout ")) || bytes.Contains(one, []byte("maxelem")) {
				return
			}
			t.Fatalf("%s\n%s", one, errs)
		}
		if two := Save(b, true, 1); len(bytes.Split(two, []byte("\n"))) != len(bytes.Split(one, []byte("\n"))) {
			t.Fatalf("first\n%s\nthen\n%s", one, two)
		}
	})
}

// hugeRange: tables and ranges that take long are left out.
func hugeRange(s string) bool {
	return strings.Contains(s, "hashsize") || strings.Contains(s, "maxelem") || strings.Count(s, "-") > 2 || strings.Contains(s, "/")
}

// TestCommands says what commands print and how they exit, also where no
// kernel can be asked.
func TestCommands(t *testing.T) {
	sets := ipset.New(nil)
	for _, c := range []struct {
		name, args, stdin, out, err string
		code                        int
	}{
		{"a set of marks", "create m hash:ip,mark markmask 0xff initval 1", "", "", "", 0},
		{"the mark is masked", "add m 192.0.2.1,0x1234", "", "", "", 0},
		{"a mark is printed in eight digits", "save m", "", "create m hash:ip,mark family inet markmask 0x000000ff hashsize 1024 maxelem 65536 bucketsize 12 initval 0x00000001\nadd m 192.0.2.1,0x00000034\n", "", 0},
		{"two networks", "create n hash:net,net initval 1", "", "", "", 0},
		{"a range becomes networks", "add n 192.0.2.0-192.0.2.2,198.51.100.0/25", "", "", "", 0},
		{"an exception", "add n 192.0.2.0/24,198.51.100.0/24 nomatch", "", "", "", 0},
		{"a pair of hosts is looked for in all networks", "test n 192.0.2.1,198.51.100.9", "", "", "Warning: 192.0.2.1,198.51.100.9 is in set n.\n", 0},
		{"an exception is not in the set", "test n 192.0.2.9,198.51.100.200", "", "", "192.0.2.9,198.51.100.200 is NOT in set n.\n", 1},
		{"an exception is, when asked for", "test n 192.0.2.9,198.51.100.200 nomatch", "", "", "Warning: 192.0.2.9,198.51.100.200 is in set n.\n", 0},
		{"MAC addresses", "create e hash:mac initval 1", "", "", "", 0},
		{"the null address is refused", "add e 0:0:0:0:0:0", "", "", "ipset v7.17: Null-valued element, cannot be stored in a hash type of set\n", 1},
		{"restore says the line", "restore", "add e 02:0:0:0:0:1\nadd e 02:0:0:0:0:1\n", "", "ipset v7.17: Error in line 2: Element cannot be added to the set: it's already added\n", 1},
		{"names are not resolved", "add m example.com,1", "", "", "ipset v7.17: Syntax error: cannot parse example.com: resolving to IPv4 address failed\n", 1},
		{"a wrong command line exits with 2", "add m", "", "", "ipset v7.17: Missing second mandatory argument to command add\nTry `ipset help' for more information.\n", 2},
		{"quiet is quiet", "-q add nope 1", "", "", "", 1},
		{"names of sets", "list -n", "", "m\nn\ne\n", "", 0},
	} {
		out, errs, code := Run(sets, strings.Fields(c.args), []byte(c.stdin), 1, nil)
		if string(out) != c.out || string(errs) != c.err || code != c.code {
			t.Errorf("%s: ipset %s\n%d\n%s%s\nwant %d\n%s%s", c.name, c.args, code, out, errs, c.code, c.out, c.err)
		}
	}
}

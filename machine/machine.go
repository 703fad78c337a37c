package machine

import (
	"cmp"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/socket"
	"weir/xtables"
)

// Machine is what a machine directory says.
type Machine struct {
	// Dir is the directory, for messages.
	Dir string
	// Ifaces begins with lo, whether or not the directory lists it.
	Ifaces []*iface.Iface
	Routes []route.Route
	// Policy is the policy rules of each family that has more than those of
	// a fresh system, all of them.
	Policy []route.Rule
	// Complete4 and Complete6: Routes has the family's local and connected
	// routes already and nothing is to be added from the addresses.
	Complete4, Complete6 bool
	// Rules4 and Rules6 are the texts of rules.v4 and rules.v6.
	Rules4, Rules6 File
	// IPSets is the text of ipset.save.
	IPSets File
	// Names is the text of names.conf: which names of DNS fill which sets.
	Names File
	// Connections is the text of conntrack.save: connections that are there from
	// the beginning; Labels that of connlabel.conf, the names of their labels.
	Connections, Labels File
	// Timeouts is the text of timeout.conf, as nfct list timeout writes it.
	Timeouts File
	// Accounts is the text of nfacct.list, as nfacct list writes it.
	Accounts File
	// Fingerprints is the text of pf.os: what the first segments of operating
	// systems look like.
	Fingerprints File
	// Proc is the files of the directories xt_recent, ipt_hashlimit and
	// ip6t_hashlimit, as /proc/net shows them; Jiffies the number in the file
	// jiffies, what the tick counter stood at when they were read. 0: unknown.
	Proc    []ProcFile
	Jiffies int64
	// Users and Groups are the numbers of passwd and group, nil without.
	Users, Groups map[string]uint32
	// Sysctl holds the settings that concern weir, by their dotted name; an
	// interface's dots are slashes there, as sysctl(8) prints them.
	Sysctl map[string]string
	// Listen is the sockets that take what is delivered to them and stay
	// silent.
	Listen socket.List
	// Links says where the packets of an interface come from and go to; only
	// a live gateway asks for it.
	Links []Link
	// LocalTUN names the device through which the kernel takes what is for the
	// machine itself; empty without.
	LocalTUN string
}

// Link is the device behind an interface.
type Link struct {
	Iface *iface.Iface
	Kind  LinkKind
	// Device is the name of the system's device.
	Device string
}

// LinkKind is how a device is opened.
type LinkKind string

// The kinds, in the words of machine.yaml.
const (
	TUN       LinkKind = "tun"    // a TUN device, made if it is not there
	PacketDev LinkKind = "packet" // an Ethernet device, by AF_PACKET
	XDP       LinkKind = "xdp"    // an Ethernet device, by AF_XDP
)

// File is a text with the name that errors call it. Text nil: there is none.
type File struct {
	Name string
	Text []byte
}

// Local is the interface name under which packets of a capture or a scenario
// are sent by the machine itself.
const Local = "local"

// loader collects what is read and what is wrong with it.
type loader struct {
	m      *Machine
	errs   []error
	tables map[string]int // numbers of routing tables that have only names
}

func (l *loader) fail(file string, line, col int, msg string) {
	l.errs = append(l.errs, &xtables.Error{Pos: xtables.Pos{File: file, Line: line, Col: col}, Msg: msg})
}

// plain adds an error that has a file but no place in it.
func (l *loader) plain(err error) { l.errs = append(l.errs, err) }

// Load reads a machine directory. Every error is reported, as *xtables.Error
// where a place exists; the machine is to be used only if there are none.
// Rule files are read but not parsed.
func Load(dir string) (*Machine, []error) {
	l := &loader{m: &Machine{Dir: dir, Sysctl: map[string]string{}}}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		if err == nil {
			err = &os.PathError{Op: "open", Path: dir, Err: errNotDir{}}
		}
		return nil, []error{err}
	}
	yaml := l.read(dir, "machine.yaml")
	addr := l.read(dir, "addr.json")
	switch {
	case yaml.Text != nil && addr.Text != nil:
		l.fail(yaml.Name, 1, 1, "the directory has an addr.json too; a machine is described by one of them")
	case yaml.Text != nil:
		l.yaml(yaml)
	case addr.Text != nil:
		l.iproute(addr, l.read(dir, "route.json"), l.read(dir, "route6.json"))
		l.ipRules(l.read(dir, "rule.json"), packet.IPv4)
		l.ipRules(l.read(dir, "rule6.json"), packet.IPv6)
	case len(l.errs) == 0:
		l.fail(filepath.Join(dir, "machine.yaml"), 1, 1, "not found, and no addr.json either: a machine is described by machine.yaml, or by addr.json and route.json")
	}
	l.rest(dir)
	l.sort()
	return l.m, l.errs
}

// sort puts the errors of each file in the order of their places; the files
// stay in the order in which they were read.
func (l *loader) sort() {
	rank := map[string]int{}
	pos := func(e error) xtables.Pos {
		if x, ok := e.(*xtables.Error); ok {
			return x.Pos
		}
		return xtables.Pos{}
	}
	for _, e := range l.errs {
		if _, ok := rank[pos(e).File]; !ok {
			rank[pos(e).File] = len(rank)
		}
	}
	slices.SortStableFunc(l.errs, func(a, b error) int {
		p, q := pos(a), pos(b)
		return cmp.Or(cmp.Compare(rank[p.File], rank[q.File]), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Col, q.Col))
	})
}

// FromYAML makes a machine of the text of a machine.yaml alone, as scenario
// files hold it. line is the line of the file before the text's first.
func FromYAML(name string, text []byte, line int) (*Machine, []error) {
	l := &loader{m: &Machine{Dir: name, Sysctl: map[string]string{}}}
	l.yaml(File{name, text})
	l.defaults()
	l.sort()
	for _, e := range l.errs {
		if x, ok := e.(*xtables.Error); ok {
			x.Pos.Line += line
		}
	}
	return l.m, l.errs
}

type errNotDir struct{}

func (errNotDir) Error() string { return "not a directory" }

// read returns a file of the directory; its Text is nil if it is missing.
func (l *loader) read(dir, name string) File {
	f := File{Name: filepath.Join(dir, name)}
	b, err := os.ReadFile(f.Name)
	if err != nil {
		if !os.IsNotExist(err) {
			l.plain(err)
		}
		return f
	}
	if b == nil {
		b = []byte{}
	}
	f.Text = b
	return f
}

// rest reads the files that both forms of a machine share.
func (l *loader) rest(dir string) {
	l.m.Rules4 = l.read(dir, "rules.v4")
	l.m.Rules6 = l.read(dir, "rules.v6")
	l.m.IPSets = l.read(dir, "ipset.save")
	l.m.Names = l.read(dir, "names.conf")
	l.m.Connections = l.read(dir, "conntrack.save")
	l.m.Labels = l.read(dir, "connlabel.conf")
	l.m.Accounts = l.read(dir, "nfacct.list")
	l.m.Fingerprints = l.read(dir, "pf.os")
	l.m.Timeouts = l.read(dir, "timeout.conf")
	l.proc(dir)
	l.m.Users, l.m.Groups = l.ids(l.read(dir, "passwd")), l.ids(l.read(dir, "group"))
	if f := l.read(dir, "sysctl.conf"); f.Text != nil {
		l.sysctlConf(f)
	}
	if f := l.read(dir, "sockets.txt"); f.Text != nil {
		l.sockets(f)
	}
	l.defaults()
}

// defaults gives a router its forwarding: a machine of two or more interfaces
// forwards unless a sysctl says otherwise.
func (l *loader) defaults() {
	n := 0
	for _, i := range l.m.Ifaces {
		if !i.Loopback {
			n++
		}
	}
	if n < 2 {
		return
	}
	if _, ok := l.m.Sysctl["net.ipv4.conf.all.forwarding"]; !ok {
		l.m.setDefault("net.ipv4.ip_forward", "1")
	}
	l.m.setDefault("net.ipv6.conf.all.forwarding", "1")
}

func (m *Machine) setDefault(key, value string) {
	if _, ok := m.Sysctl[key]; !ok {
		m.Sysctl[key] = value
	}
}

// Iface finds an interface by name, or nil.
func (m *Machine) Iface(name string) *iface.Iface {
	for _, i := range m.Ifaces {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// addLoopback puts lo in front unless it is listed.
func (m *Machine) addLoopback() {
	for _, i := range m.Ifaces {
		if i.Loopback {
			return
		}
	}
	lo := &iface.Iface{Index: 1, Name: "lo", MTU: 65536, Loopback: true, Addrs: []iface.Addr{
		{Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: iface.Host},
		{Prefix: netip.MustParsePrefix("::1/128"), Scope: iface.Host},
	}}
	m.Ifaces = append([]*iface.Iface{lo}, m.Ifaces...)
}

// sockets reads the output of ss -Hlntu, and what -e and --inet-sockopt add to
// it; -a in the place of -l adds connected sockets.
func (l *loader) sockets(f File) {
	eachLine(f.Text, func(n int, line string) {
		w := fields(line)
		if len(w) == 0 || w[0].text[0] == '#' {
			return
		}
		if n := len(l.m.Listen); n > 0 && (line[0] == ' ' || line[0] == '\t') {
			socketOptions(&l.m.Listen[n-1], w)
			return
		}
		if len(w) < 5 {
			l.fail(f.Name, n, 1, "not a line of ss -Hlntu: it has fewer than five columns")
			return
		}
		s := socket.Socket{}
		switch w[0].text {
		case "tcp":
			s.Proto = packet.TCP
		case "udp":
			s.Proto = packet.UDP
		default:
			l.fail(f.Name, n, w[0].col, "protocol "+quote(w[0].text)+" is neither tcp nor udp")
			return
		}
		if msg := ssAddr(&s, w[4].text); msg != "" {
			l.fail(f.Name, n, w[4].col, msg)
			return
		}
		switch w[1].text {
		case "LISTEN", "UNCONN":
		default:
			var peer socket.Socket
			if len(w) < 6 {
				l.fail(f.Name, n, 1, "a connected socket without its peer")
				return
			}
			if msg := ssAddr(&peer, w[5].text); msg != "" {
				l.fail(f.Name, n, w[5].col, msg)
				return
			}
			s.Peer, s.Waiting = netip.AddrPortFrom(peer.Addr, peer.Port), w[1].text == "TIME-WAIT"
		}
		socketOptions(&s, w[min(6, len(w)):])
		l.m.Listen = append(l.m.Listen, s)
	})
}

// socketOptions takes what rules ask for from the rest of a line of ss:
// fwmark:0x1 (-e), transparent (--inet-sockopt).
func socketOptions(s *socket.Socket, words []word) {
	for _, w := range words {
		if mark, ok := strings.CutPrefix(w.text, "fwmark:"); ok {
			n, _ := strconv.ParseUint(mark, 0, 32)
			s.Mark = uint32(n)
		}
		s.Transparent = s.Transparent || w.text == "transparent"
	}
}

// ssAddr reads a local address as ss prints it: 0.0.0.0:22, *:22,
// 127.0.0.53%lo:53, [::]:22, [fe80::1]%eth0:546.
func ssAddr(s *socket.Socket, t string) string {
	i := lastByte(t, ':')
	if i < 0 {
		return quote(t) + " has no port"
	}
	port, err := strconv.ParseUint(t[i+1:], 10, 16)
	if err != nil {
		return quote(t[i+1:]) + " is not a port"
	}
	s.Port = uint16(port)
	host := t[:i]
	if j := lastByte(host, '%'); j >= 0 {
		s.Dev = host[j+1:]
		if k := lastByte(s.Dev, ']'); k >= 0 {
			s.Dev = s.Dev[:k]
			host = host[:j] + "]"
		} else {
			host = host[:j]
		}
	}
	if host == "*" { // a dual-stack socket
		s.V4, s.V6 = true, true
		return ""
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return quote(host) + " is not an address"
	}
	a = a.Unmap()
	s.V4, s.V6 = a.Is4(), a.Is6()
	if !a.IsUnspecified() {
		s.Addr = a
	}
	return ""
}

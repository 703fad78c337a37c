package helper

import (
	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// helper is one protocol.
type helper struct {
	name     string
	families []packet.Family
	proto    uint8
	// classes are its classes of expectations, at least one.
	classes []conntrack.ExpectPolicy
	// help looks at a packet. It says Accept or Drop; a drop has its reason
	// already.
	help func(k *call) hook.Verdict
	// destroy, if set, is told of the end of a connection.
	destroy func(tb *conntrack.Table, c *conntrack.Conn, now int64)
}

// helpers is the one list of helpers.
func helpers() []helper {
	return []helper{
		ftp(), tftp(), irc(), amanda(), netbiosNS(), sane(), pptp(), sipUDP(), sipTCP(), snmp(), snmpTrap(),
	}
}

const second = int64(1e9)

// one is the policy of a helper with one class of expectations.
func one(max int, timeout int64) []conntrack.ExpectPolicy {
	return []conntrack.ExpectPolicy{{Max: max, Timeout: timeout}}
}

// four and both are the families of helpers.
func four() []packet.Family { return []packet.Family{packet.IPv4} }
func both() []packet.Family { return []packet.Family{packet.IPv4, packet.IPv6} }

// Set is the helpers as a machine uses them. It is immutable.
type Set struct {
	list []conntrack.Helper
	help []func(*call) hook.Verdict
}

// New makes the set of all helpers.
func New() *Set {
	s := &Set{}
	for _, h := range helpers() {
		for _, f := range h.families {
			s.list = append(s.list, conntrack.Helper{Name: h.name, Family: f, Proto: h.proto, Classes: h.classes, Destroy: h.destroy})
			s.help = append(s.help, h.help)
		}
	}
	return s
}

// List describes the helpers to a table, in the order of their numbers.
func (s *Set) List() []conntrack.Helper { return s.list }

// Find is the number of the helper of a name that is there for a family and
// protocol, 0 if there is none. Every Set has the same numbers.
func Find(f packet.Family, proto uint8, name string) conntrack.HelperID {
	for i, h := range New().list {
		if h.Name == name && h.Family == f && h.Proto == proto {
			return conntrack.HelperID(i + 1)
		}
	}
	return 0
}

// Help lets the helper of t's connection, which has one, look at the packet.
// rewritten says that the payload changed and its checksum was made anew.
func (s *Set) Help(t *hook.Traversal, id conntrack.HelperID) (v hook.Verdict, rewritten bool) {
	k := call{t: t, tb: t.Env.CT, c: t.CT.Conn, dir: t.CT.Info.Dir(), name: s.list[id-1].Name, id: id}
	v = s.help[id-1](&k)
	return v, k.rewritten
}

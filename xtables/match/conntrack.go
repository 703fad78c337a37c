package match

import (
	"math"
	"strings"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/names"
)

// Conntrack is -m conntrack: what connection tracking knows of the packet.
func Conntrack() xtables.MatchExt {
	one := func(names ...string) (o []xtables.Option) {
		for _, n := range names {
			o = append(o, xtables.Option{Name: n, Args: xtables.OneArg})
		}
		return o
	}
	opts := one("ctstate", "ctproto", "ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst", "ctstatus",
		"ctexpire", "ctorigsrcport", "ctorigdstport", "ctreplsrcport", "ctrepldstport")
	opts = append(opts, xtables.Option{Name: "ctdir", Args: xtables.OneArg, NoInvert: true})
	return xtables.MatchExt{
		Name: "conntrack", Families: xtables.Both, NeedsConntrack: true,
		Options: opts, Parse: parseConntrack,
		Doc: "all options of revision 3",
	}
}

// ctOpt is a bit for each condition that was given, and for its "!". The four
// addresses and the four ports are in the order of ctTuplePart.
type ctOpt uint16

const (
	ctState ctOpt = 1 << iota
	ctProto
	ctOrigSrc
	ctOrigDst
	ctReplSrc
	ctReplDst
	ctOrigSrcPort
	ctOrigDstPort
	ctReplSrcPort
	ctReplDstPort
	ctStatus
	ctExpire
	ctDir
)

func ctTuplePart() [4]string { return [4]string{"ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst"} }

type conntrackMatch struct {
	given, not ctOpt
	states     stateSet
	proto      uint8
	addrs      [4]args.Subnet
	ports      [4]args.PortRange
	status     conntrack.Status
	expire     [2]uint32 // seconds
}

func ctStatusNames() [4]struct {
	name string
	bit  conntrack.Status
} {
	return [4]struct {
		name string
		bit  conntrack.Status
	}{
		{"EXPECTED", conntrack.Expected}, {"SEEN_REPLY", conntrack.SeenReply},
		{"ASSURED", conntrack.Assured}, {"CONFIRMED", conntrack.Confirmed},
	}
}

func parseConntrack(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if len(given) == 0 {
		return nil, &xtables.Error{Msg: "conntrack needs at least one option"}
	}
	m := &conntrackMatch{}
	for i := range given {
		g := &given[i]
		opt, err := m.read(c.Family, g)
		if err != nil {
			return nil, err
		}
		m.given |= opt
		if g.Invert {
			m.not |= opt
		}
	}
	return m, nil
}

func (m *conntrackMatch) read(f packet.Family, g *xtables.Given) (opt ctOpt, err error) {
	for i, n := range ctTuplePart() {
		switch g.Name {
		case n:
			m.addrs[i], err = args.SubnetOf(f, g)
			return ctOrigSrc << i, err
		case n + "port":
			if args.Text(g) != "" { // an empty word is port 0
				m.ports[i].Lo, m.ports[i].Hi, err = args.Ports(g)
			}
			return ctOrigSrcPort << i, err
		}
	}
	switch g.Name {
	case "ctstate":
		m.states, err = parseStates(g, 7)
		return ctState, err
	case "ctproto":
		n, ok := args.Number(args.Text(g), 0, 255)
		if ok {
			m.proto = uint8(n)
		} else if m.proto, ok = names.Protocol(args.Text(g)); !ok {
			err = args.Bad(g, "a protocol")
		}
		return ctProto, err
	case "ctstatus":
		m.status, err = parseStatus(g)
		return ctStatus, err
	case "ctexpire":
		lo, hi, err := args.Span(g, math.MaxUint32)
		m.expire = [2]uint32{uint32(lo), uint32(hi)}
		return ctExpire, err
	}
	switch w := args.Text(g); {
	case strings.EqualFold(w, "ORIGINAL"):
	case strings.EqualFold(w, "REPLY"):
		m.not |= ctDir
	default:
		err = args.Bad(g, "ORIGINAL or REPLY")
	}
	return ctDir, err
}

func parseStatus(g *xtables.Given) (s conntrack.Status, err error) {
words:
	for _, w := range strings.Split(args.Text(g), ",") {
		if w != "" && args.Prefix("NONE", w) {
			continue
		}
		for _, n := range ctStatusNames() {
			if w != "" && args.Prefix(n.name, w) {
				s |= n.bit
				continue words
			}
		}
		return 0, args.Errorf(g, "--ctstatus: no status %q", w)
	}
	return s, nil
}

func (m *conntrackMatch) Match(t *hook.Traversal) bool { return m.fails(t) == 0 }

// fails is the first condition that the packet does not meet, 0 if it meets
// all. A packet without a connection is judged by its state alone, and fails
// if that was not asked for.
//
// Linux: net/netfilter/xt_conntrack.c.
func (m *conntrackMatch) fails(t *hook.Traversal) ctOpt {
	c := t.CT.Conn
	if m.given&ctState != 0 {
		s := stateSet(1) << t.CT.State()
		if c != nil {
			if c.Has(conntrack.SrcNAT) {
				s |= stateSNAT
			}
			if c.Has(conntrack.DstNAT) {
				s |= stateDNAT
			}
		}
		if (m.states&s != 0) == (m.not&ctState != 0) {
			return ctState
		}
	}
	if c == nil {
		if m.given&ctState != 0 {
			return 0
		}
		return m.given
	}
	if m.given&ctDir != 0 && (t.CT.Info.Dir() == conntrack.Original) == (m.not&ctDir != 0) {
		return ctDir
	}
	for i := range m.addrs {
		opt := ctOrigSrc << i
		if m.given&opt == 0 {
			continue
		}
		tu := &c.Tuple[i/2]
		a := &tu.Src
		if i&1 != 0 {
			a = &tu.Dst
		}
		if m.addrs[i].Has(a) == (m.not&opt != 0) {
			return opt
		}
	}
	if m.given&ctProto != 0 && (c.Tuple[0].Proto == m.proto) == (m.not&ctProto != 0) {
		return ctProto
	}
	for i := range m.ports {
		opt := ctOrigSrcPort << i
		if m.given&opt == 0 {
			continue
		}
		tu := &c.Tuple[i/2]
		p := tu.SrcL4
		if i&1 != 0 {
			p = tu.DstL4
		}
		if m.ports[i].Has(p) == (m.not&opt != 0) {
			return opt
		}
	}
	if m.given&ctStatus != 0 && (m.status&c.Status != 0) == (m.not&ctStatus != 0) {
		return ctStatus
	}
	if m.given&ctExpire != 0 {
		left := secondsLeft(t)
		if (left >= int64(m.expire[0]) && left <= int64(m.expire[1])) == (m.not&ctExpire != 0) {
			return ctExpire
		}
	}
	return 0
}

// secondsLeft is 0 for a connection that is not confirmed: it has no timer yet.
func secondsLeft(t *hook.Traversal) int64 {
	if !t.CT.Conn.Has(conntrack.Confirmed) {
		return 0
	}
	return t.CT.Conn.Expires(t.Now) / 1_000_000_000
}

func (m *conntrackMatch) Explain(t *hook.Traversal) string {
	c := t.CT.Conn
	if c == nil {
		return noConn(t)
	}
	f := m.fails(t)
	for i, n := range ctTuplePart() {
		tu := &c.Tuple[i/2]
		a, p := tu.Src, tu.SrcL4
		if i&1 != 0 {
			a, p = tu.Dst, tu.DstL4
		}
		switch f {
		case ctOrigSrc << i:
			return n + " is " + a.IP(tu.L3).String()
		case ctOrigSrcPort << i:
			return n + "port is " + dec(uint64(p))
		}
	}
	switch f {
	case ctProto:
		return "protocol is " + dec(uint64(c.Tuple[0].Proto))
	case ctStatus:
		return "status is" + string(appendStatus(nil, c.Status))
	case ctExpire:
		return "expires in " + dec(uint64(secondsLeft(t))) + " s"
	case ctDir:
		if t.CT.Info.Dir() == conntrack.Reply {
			return "direction is REPLY"
		}
		return "direction is ORIGINAL"
	}
	return "state is " + t.CT.State().String()
}

func (m *conntrackMatch) AppendArgs(b []byte) []byte {
	name := func(o ctOpt, n string) bool {
		if m.given&o == 0 {
			return false
		}
		b = args.Name(b, m.not&o != 0 && o != ctDir, n)
		return true
	}
	if name(ctState, "ctstate") {
		b = m.states.append(b)
	}
	if name(ctProto, "ctproto") {
		b = args.Dec(b, uint64(m.proto))
	}
	for i, n := range ctTuplePart() {
		if name(ctOrigSrc<<i, n) {
			b = m.addrs[i].Append(b)
		}
	}
	for i, n := range ctTuplePart() {
		if name(ctOrigSrcPort<<i, n+"port") {
			hi := m.ports[i].Hi
			if hi == 0 { // is no end to iptables-save
				hi = m.ports[i].Lo
			}
			b = args.Range(b, uint64(m.ports[i].Lo), uint64(hi))
		}
	}
	if name(ctStatus, "ctstatus") {
		b = appendStatus(b, m.status)
	}
	if name(ctExpire, "ctexpire") {
		b = args.Range(b, uint64(m.expire[0]), uint64(m.expire[1]))
	}
	if name(ctDir, "ctdir") {
		if m.not&ctDir != 0 {
			return append(b, " REPLY"...)
		}
		b = append(b, " ORIGINAL"...)
	}
	return b
}

func appendStatus(b []byte, s conntrack.Status) []byte {
	sep := byte(' ')
	for _, n := range ctStatusNames() {
		if s&n.bit != 0 {
			b, sep = append(append(b, sep), n.name...), ','
		}
	}
	if sep == ' ' {
		b = append(b, " NONE"...)
	}
	return b
}

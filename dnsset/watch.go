package dnsset

import (
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/ipset"
	"weir/packet"
	"weir/route"
	"weir/trace"
	"weir/xtables"
)

const (
	dnsPort = 53
	// maxTimeout is the longest that a member of a set may stay, in seconds.
	maxTimeout = 1<<32/1000 - 1
	// maxAliases bounds the names that one answer may lead through.
	maxAliases = 16
)

// watcher reads answers for a machine.
type watcher struct {
	Config
	m      *engine.Machine
	parser dnsmessage.Parser
}

// Check says which set is missing or cannot hold addresses for a time.
func Check(sets *ipset.Sets, c Config) (errs []error) {
	for _, l := range c.Lists {
		s := sets.Lookup(l.Set)
		switch {
		case s == nil:
			errs = append(errs, &xtables.Error{Pos: l.Pos, Msg: "there is no set " + l.Set})
		case s.Type() != ipset.HashIP || !s.HasTimeout():
			errs = append(errs, &xtables.Error{Pos: l.Pos, Msg: l.Set + " has to be a hash:ip with timeout"})
		}
	}
	return errs
}

// Watch makes the machine fill its sets from the answers that pass. Errors say
// which set is missing or cannot hold addresses for a time.
func Watch(m *engine.Machine, c Config) (errs []error) {
	errs = Check(m.Sets(), c)
	if len(errs) > 0 || len(c.Lists) == 0 {
		return errs
	}
	w := &watcher{Config: c, m: m}
	// Behind every filter, in front of the translation: an answer that is
	// dropped opens nothing.
	err := m.Register(hook.Entry{At: hook.Forward, Pri: hook.PriLast, Name: "dnsset", Fn: w.packet, Steady: true})
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

// packet reads the answers among the packets that are forwarded.
func (w *watcher) packet(t *hook.Traversal) hook.Verdict {
	p, c := t.Pkt, t.CT.Conn
	if p.Proto != packet.UDP || c == nil || c.Tuple[conntrack.Original].DstL4 != dnsPort {
		return hook.Accept
	}
	if t.Memo != nil {
		t.Memo.Varying = true // every packet of it is to be seen
	}
	from := c.Tuple[conntrack.Reply].Src
	if t.CT.Info != conntrack.InfoEstablishedReply || !w.trusts(p.Family, from) || p.NonFirstFragment() || p.More {
		return hook.Accept
	}
	way := t.Env.Routes.Lookup(&route.Key{Family: p.Family, Dst: from, Mark: t.Mark})
	if way.Type != route.Unicast || way.Out != t.In {
		return hook.Accept
	}
	if b := p.Payload(); len(b) > 8 {
		w.answer(t, b[8:])
	}
	return hook.Accept
}

// answer adds what a message tells of the names that are wanted.
func (w *watcher) answer(t *hook.Traversal, b []byte) {
	h, err := w.parser.Start(b)
	if err != nil || !h.Response || h.RCode != dnsmessage.RCodeSuccess {
		return
	}
	q, err := w.parser.Question()
	if err != nil || q.Class != dnsmessage.ClassINET || w.parser.SkipAllQuestions() != nil {
		return
	}
	asked := nameOf(q.Name)
	var lists []*List
	for i := range w.Lists {
		if w.Lists[i].wants(asked) {
			lists = append(lists, &w.Lists[i])
		}
	}
	if len(lists) == 0 {
		return
	}
	names := []string{asked}
	has := func(n dnsmessage.Name) bool {
		for _, s := range names {
			if s == nameOf(n) {
				return true
			}
		}
		return false
	}
	for {
		r, err := w.parser.AnswerHeader()
		if err != nil {
			return
		}
		if r.Class != dnsmessage.ClassINET || !has(r.Name) {
			if w.parser.SkipAnswer() != nil {
				return
			}
			continue
		}
		var a packet.Addr
		f := packet.IPv4
		switch r.Type {
		case dnsmessage.TypeCNAME:
			alias, err := w.parser.CNAMEResource()
			if err != nil || len(names) == maxAliases {
				return
			}
			names = append(names, nameOf(alias.CNAME))
			continue
		case dnsmessage.TypeA:
			v, err := w.parser.AResource()
			if err != nil {
				return
			}
			copy(a[:], v.A[:])
		case dnsmessage.TypeAAAA:
			v, err := w.parser.AAAAResource()
			if err != nil {
				return
			}
			f, a = packet.IPv6, v.AAAA
		default:
			if w.parser.SkipAnswer() != nil {
				return
			}
			continue
		}
		for _, l := range lists {
			w.add(t, l.Set, asked, f, a, r.TTL)
		}
	}
}

// add makes an address a member of a set of its family, for as long as the
// resolver says; an answer that comes again starts the time anew. A full set
// takes no more, and the address stays refused.
func (w *watcher) add(t *hook.Traversal, set, name string, f packet.Family, a packet.Addr, ttl uint32) {
	s := w.m.Sets().Lookup(set)
	if s == nil || s.Family() != f || a.IsZero() {
		return
	}
	r := ipset.Request{IP: a, HasTimeout: true, Timeout: min(max(ttl, w.Least), maxTimeout)}
	err := w.m.Sets().Do(ipset.Add, set, &r, true, t.Now)
	if t.Trace.On() {
		text := name + ": " + a.IP(f).String() + " into " + set + " for " + strconv.FormatUint(uint64(r.Timeout), 10) + " s"
		if err != ipset.OK {
			text = name + ": " + set + " takes no more"
		}
		t.Trace.Add(trace.Step{Kind: trace.KindHook, Text: text})
	}
}

// nameOf is a name in lower case without the dot at its end.
func nameOf(n dnsmessage.Name) string {
	return strings.ToLower(strings.TrimSuffix(n.String(), "."))
}

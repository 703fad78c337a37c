package control

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"weir/conntrack"
	"weir/conntrack/show"
	ctverbs "weir/conntrack/verbs"
	"weir/engine"
	"weir/packet"
)

// page is how many slots of the table are looked at while packets wait.
const page = 2048

// Conn is a connection as JSON has it.
type Conn struct {
	ID       uint64   `json:"id"`
	Family   string   `json:"family"`
	Protocol string   `json:"protocol"`
	Number   uint8    `json:"protocol_number"`
	State    string   `json:"state,omitempty"`
	Status   []string `json:"status,omitempty"` // assured, unreplied, snat, dnat
	Timeout  int64    `json:"timeout"`          // seconds left
	Mark     uint32   `json:"mark"`
	Zone     uint16   `json:"zone,omitempty"`
	Helper   string   `json:"helper,omitempty"`
	Original Flow     `json:"original"`
	Reply    Flow     `json:"reply"`
}

// Flow is one direction. Packets and bytes are there with
// nf_conntrack_acct only.
type Flow struct {
	Src     netip.Addr `json:"src"`
	Dst     netip.Addr `json:"dst"`
	SrcPort uint16     `json:"sport"`
	DstPort uint16     `json:"dport"`
	Packets uint64     `json:"packets"`
	Bytes   uint64     `json:"bytes"`
}

// protocols are the names of protocols.
func protocols() map[uint8]string {
	return map[uint8]string{packet.TCP: "tcp", packet.UDP: "udp", packet.ICMP: "icmp", packet.ICMPv6: "icmpv6",
		packet.SCTP: "sctp", packet.GRE: "gre", packet.UDPLite: "udplite", packet.DCCP: "dccp"}
}

func protocolName(n uint8) string {
	switch n {
	case packet.TCP:
		return "tcp"
	case packet.UDP:
		return "udp"
	case packet.ICMP:
		return "icmp"
	case packet.ICMPv6:
		return "icmpv6"
	}
	if s, ok := protocols()[n]; ok {
		return s
	}
	return strconv.Itoa(int(n))
}

// connOf is the JSON form of a connection.
func connOf(tb *conntrack.Table, c *conntrack.Conn, now int64) Conn {
	o := &c.Tuple[conntrack.Original]
	x := Conn{ID: c.Seq, Family: familyName(o.L3), Protocol: protocolName(o.Proto), Number: o.Proto, State: stateOf(c),
		Timeout: c.Expires(now) / 1e9, Mark: c.Mark, Zone: c.Zone(), Status: statusOf(c),
		Original: flowOf(o), Reply: flowOf(&c.Tuple[conntrack.Reply])}
	if tb != nil {
		x.Helper = tb.HelperName(tb.Helper(c))
		x.count(tb.Counters(c))
	}
	return x
}

func (x *Conn) count(n *[2]conntrack.Counter) {
	if n != nil {
		x.Original.Packets, x.Original.Bytes = n[0].Packets, n[0].Bytes
		x.Reply.Packets, x.Reply.Bytes = n[1].Packets, n[1].Bytes
	}
}

func flowOf(t *conntrack.Tuple) Flow {
	return Flow{Src: t.Src.IP(t.L3), Dst: t.Dst.IP(t.L3), SrcPort: t.SrcL4, DstPort: t.DstL4}
}

func stateOf(c *conntrack.Conn) string {
	switch {
	case c.TCP() != nil:
		return c.TCP().State.String()
	case c.SCTP() != nil:
		return c.SCTP().State.String()
	}
	return ""
}

func statusOf(c *conntrack.Conn) (list []string) {
	if c.Has(conntrack.Assured) {
		list = append(list, "assured")
	}
	if !c.Has(conntrack.SeenReply) {
		list = append(list, "unreplied")
	}
	if c.Has(conntrack.SrcNAT) {
		list = append(list, "snat")
	}
	if c.Has(conntrack.DstNAT) {
		list = append(list, "dnat")
	}
	return list
}

// chooser is the connections that a request asks for.
type chooser struct {
	family           packet.Family
	proto            uint8
	hasProto         bool
	src, dst, any    netip.Prefix
	sport, dport     uint16
	port             uint16
	mark, markMask   uint32
	hasMark          bool
	zone             uint16
	hasZone          bool
	state            string
	all, none        conntrack.Status
	replySrc, replyD netip.Prefix
}

// chooserOf reads the filters among the parameters of a request.
func chooserOf(v url.Values) (*chooser, error) {
	c := &chooser{}
	var err error
	prefix := func(name string, p *netip.Prefix) {
		s := v.Get(name)
		if s == "" || err != nil {
			return
		}
		if a, aerr := netip.ParseAddr(s); aerr == nil {
			*p = netip.PrefixFrom(a, a.BitLen())
		} else if n, nerr := netip.ParsePrefix(s); nerr == nil {
			*p = n.Masked()
		} else {
			err = bad("%s: %q is neither an address nor a network", name, s)
		}
	}
	number := func(name string, bits int) (n uint64, given bool) {
		s := v.Get(name)
		if s == "" || err != nil {
			return 0, false
		}
		n, nerr := strconv.ParseUint(s, 0, bits)
		if nerr != nil {
			err = bad("%s: %q is not a number that fits", name, s)
		}
		return n, true
	}
	switch f := v.Get("family"); f {
	case "":
	case "ipv4":
		c.family = packet.IPv4
	case "ipv6":
		c.family = packet.IPv6
	default:
		return nil, bad("family: %q is neither ipv4 nor ipv6", f)
	}
	if p := strings.ToLower(v.Get("protocol")); p != "" {
		c.hasProto = true
		for n, name := range protocols() {
			if name == p {
				c.proto = n
			}
		}
		if c.proto == 0 {
			n, nerr := strconv.ParseUint(p, 10, 8)
			if nerr != nil {
				return nil, bad("protocol: %q is not known", p)
			}
			c.proto = uint8(n)
		}
	}
	prefix("src", &c.src)
	prefix("dst", &c.dst)
	prefix("addr", &c.any)
	prefix("reply_src", &c.replySrc)
	prefix("reply_dst", &c.replyD)
	n, _ := number("sport", 16)
	c.sport = uint16(n)
	n, _ = number("dport", 16)
	c.dport = uint16(n)
	n, _ = number("port", 16)
	c.port = uint16(n)
	n, c.hasZone = number("zone", 16)
	c.zone = uint16(n)
	if s := v.Get("mark"); s != "" {
		val, mask, masked := strings.Cut(s, "/")
		m, merr := strconv.ParseUint(val, 0, 32)
		mm := uint64(0xffffffff)
		if merr == nil && masked {
			mm, merr = strconv.ParseUint(mask, 0, 32)
		}
		if merr != nil {
			return nil, bad("mark: %q is neither VALUE nor VALUE/MASK", s)
		}
		c.hasMark, c.mark, c.markMask = true, uint32(m), uint32(mm)
	}
	c.state = strings.ToUpper(v.Get("state"))
	for _, s := range strings.Split(v.Get("status"), ",") {
		switch s {
		case "":
		case "assured":
			c.all |= conntrack.Assured
		case "unreplied":
			c.none |= conntrack.SeenReply
		case "replied":
			c.all |= conntrack.SeenReply
		case "snat":
			c.all |= conntrack.SrcNAT
		case "dnat":
			c.all |= conntrack.DstNAT
		default:
			return nil, bad("status: %q is none of assured unreplied replied snat dnat", s)
		}
	}
	return c, err
}

func in(p netip.Prefix, t *conntrack.Tuple, a packet.Addr) bool {
	return !p.IsValid() || p.Contains(a.IP(t.L3))
}

// ported reports a protocol with ports.
func ported(proto uint8) bool {
	switch proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP, packet.DCCP:
		return true
	}
	return false
}

// match reports whether a connection is asked for.
func (c *chooser) match(x *conntrack.Conn) bool {
	o, r := &x.Tuple[conntrack.Original], &x.Tuple[conntrack.Reply]
	if c.family != 0 && o.L3 != c.family || c.hasProto && o.Proto != c.proto ||
		x.Status&c.all != c.all || x.Status&c.none != 0 ||
		c.sport != 0 && o.SrcL4 != c.sport || c.dport != 0 && o.DstL4 != c.dport ||
		c.hasMark && x.Mark&c.markMask != c.mark || c.hasZone && x.Zone() != c.zone {
		return false
	}
	if c.sport|c.dport|c.port != 0 && !ported(o.Proto) {
		return false
	}
	if c.port != 0 && o.SrcL4 != c.port && o.DstL4 != c.port && r.SrcL4 != c.port && r.DstL4 != c.port {
		return false
	}
	if c.state != "" && stateOf(x) != c.state {
		return false
	}
	if c.any.IsValid() && !in(c.any, o, o.Src) && !in(c.any, o, o.Dst) && !in(c.any, r, r.Src) && !in(c.any, r, r.Dst) {
		return false
	}
	return in(c.src, o, o.Src) && in(c.dst, o, o.Dst) && in(c.replySrc, r, r.Src) && in(c.replyD, r, r.Dst)
}

// each calls f with every connection, a page at a time; false ends it. f runs
// while packets wait.
func (s *Server) each(f func(tb *conntrack.Table, c *conntrack.Conn, now int64), between func() bool) {
	for after := uint32(0); ; {
		s.target.Do(func(m *engine.Machine) {
			tb, now := m.Conntrack(), s.target.Now()
			after = tb.Page(after, page, now, func(c *conntrack.Conn) { f(tb, c, now) })
		})
		if between != nil && !between() || after == 0 {
			return
		}
	}
}

// connections streams the table: JSON lines, or the text of conntrack -L.
func (s *Server) connections(w http.ResponseWriter, q *http.Request) error {
	c, err := chooserOf(q.URL.Query())
	if err != nil {
		return err
	}
	form := q.FormValue("format")
	if form != "" && form != "json" && form != "text" {
		return bad("format: %q is neither json nor text", form)
	}
	if q.FormValue("sort") != "" || q.FormValue("limit") != "" {
		return s.sorted(w, q)
	}
	st, err := s.stream(w)
	if err != nil {
		return err
	}
	defer st.end()
	var text []byte
	var list []Conn
	s.each(func(tb *conntrack.Table, x *conntrack.Conn, now int64) {
		if !c.match(x) {
			return
		}
		if form == "text" {
			text = append(show.AppendEntry(text, tb, x, now, show.Extended), '\n')
		} else {
			list = append(list, connOf(tb, x, now))
		}
	}, func() bool {
		for i := range list {
			st.line(&list[i])
		}
		st.write(text)
		text, list = text[:0], list[:0]
		return st.err == nil && q.Context().Err() == nil
	})
	return nil
}

func (s *Server) count(w http.ResponseWriter, q *http.Request) error {
	c, err := chooserOf(q.URL.Query())
	if err != nil {
		return err
	}
	n := 0
	if q.URL.RawQuery == "" {
		s.target.Do(func(m *engine.Machine) { n = m.Conntrack().Len() })
	} else {
		s.each(func(_ *conntrack.Table, x *conntrack.Conn, _ int64) {
			if c.match(x) {
				n++
			}
		}, nil)
	}
	return reply(w, map[string]int{"count": n})
}

// deleteConnections ends what a filter names; without one it refuses.
func (s *Server) deleteConnections(w http.ResponseWriter, q *http.Request) error {
	c, err := chooserOf(q.URL.Query())
	if err != nil {
		return err
	}
	if *c == (chooser{}) {
		return bad("no filter: /v1/conntrack/flush ends all connections")
	}
	n := 0
	for after := uint32(0); ; {
		s.target.Do(func(m *engine.Machine) {
			tb, now := m.Conntrack(), s.target.Now()
			var list []conntrack.ID
			after = tb.Page(after, page, now, func(x *conntrack.Conn) {
				if c.match(x) {
					list = append(list, x.ID())
				}
			})
			for _, id := range list {
				if x := tb.ByID(id); x != nil && tb.Kill(x, now) {
					n++
				}
			}
		})
		if after == 0 {
			break
		}
	}
	s.opt.Log.Info("connections deleted", "count", n)
	return reply(w, map[string]int{"count": n})
}

func (s *Server) flush(w http.ResponseWriter, _ *http.Request) error {
	n := 0
	s.target.Do(func(m *engine.Machine) {
		n = m.Conntrack().Len()
		m.Conntrack().Flush(s.target.Now())
	})
	s.opt.Log.Info("connections flushed", "count", n)
	return reply(w, map[string]int{"count": n})
}

// Event is an event of a connection as JSON has it.
type Event struct {
	Kind string `json:"event"` // NEW, UPDATE, DESTROY
	Time string `json:"time"`
	Conn
}

// eventStream is conntrack -E.
func (s *Server) eventStream(w http.ResponseWriter, q *http.Request) error {
	if q.URL.Query().Has("arg") {
		return s.toolEvents(w, q)
	}
	c, err := chooserOf(q.URL.Query())
	if err != nil {
		return err
	}
	form := q.FormValue("format")
	if form != "" && form != "json" && form != "text" {
		return bad("format: %q is neither json nor text", form)
	}
	p := show.Printer{}
	for _, o := range strings.Split(q.FormValue("output"), ",") {
		switch o {
		case "":
		case "extended":
			p.Options |= show.Extended
		case "timestamp":
			p.Options |= show.Timestamp
		case "ktimestamp":
			p.Options |= show.KTimestamp
		case "id":
			p.Options |= show.ID
		default:
			return bad("output: %q is none of extended timestamp ktimestamp id", o)
		}
	}
	st, err := s.stream(w)
	if err != nil {
		return err
	}
	defer st.end()
	l := s.listen(func(e *conntrack.Event) bool { return c.match(&e.Conn) })
	defer s.unlisten(l)
	var b []byte
	return pump(s, st, q.Context().Done(), l, func(e *conntrack.Event) error {
		if form == "text" {
			b = append(p.Event(b[:0], e), '\n')
			return st.write(b)
		}
		x := Event{Kind: e.Kind.String(), Time: stamp(e.Time), Conn: connOf(nil, &e.Conn, e.Time)}
		x.Helper = e.Helper
		if e.HasCounters {
			x.count(&e.Counters)
		}
		return st.line(&x)
	})
}

// toolEvents is the events of a command line of conntrack, which stands in the
// parameters arg.
func (s *Server) toolEvents(w http.ResponseWriter, q *http.Request) error {
	cmd, wrong := ctverbs.Parse(q.URL.Query()["arg"], s.labels())
	switch {
	case wrong != nil:
		return bad("arg: %v", wrong)
	case !cmd.Listens():
		return bad("arg: -E is wanted here")
	}
	st, err := s.stream(w)
	if err != nil {
		return err
	}
	defer st.end()
	p := cmd.Printer()
	var b []byte
	if cmd.Table == ctverbs.Expectations {
		l := s.listenExpect()
		defer s.unlistenExpect(l)
		return pump(s, st, q.Context().Done(), l, func(e *conntrack.ExpectEvent) error {
			b = append(p.ExpectEvent(b[:0], e), '\n')
			return st.write(b)
		})
	}
	l := s.listen(cmd.MatchEvent)
	defer s.unlisten(l)
	return pump(s, st, q.Context().Done(), l, func(e *conntrack.Event) error {
		b = append(p.Event(b[:0], e), '\n')
		return st.write(b)
	})
}

func (s *Server) listenExpect() *listener[conntrack.ExpectEvent] {
	s.listening.Lock()
	defer s.listening.Unlock()
	l, first := s.expects.add(1024, nil)
	if first {
		s.target.Do(func(m *engine.Machine) { m.Conntrack().OnExpect(s.expects.send) })
	}
	return l
}

func (s *Server) unlistenExpect(l *listener[conntrack.ExpectEvent]) {
	s.listening.Lock()
	defer s.listening.Unlock()
	if s.expects.remove(l) {
		s.target.Do(func(m *engine.Machine) { m.Conntrack().OnExpect(nil) })
	}
}

// listen adds a listener of events, and tells the table to send them.
func (s *Server) listen(want func(*conntrack.Event) bool) *listener[conntrack.Event] {
	s.listening.Lock()
	defer s.listening.Unlock()
	l, first := s.events.add(4096, want)
	if first {
		s.target.Do(func(m *engine.Machine) { m.Conntrack().OnEvent(s.events.send) })
	}
	return l
}

func (s *Server) unlisten(l *listener[conntrack.Event]) {
	s.listening.Lock()
	defer s.listening.Unlock()
	if s.events.remove(l) {
		s.target.Do(func(m *engine.Machine) { m.Conntrack().OnEvent(nil) })
	}
}

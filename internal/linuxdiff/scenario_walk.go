package linuxdiff

import (
	"encoding/binary"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weir/engine"
	"weir/internal/kernel"
	"weir/machine"
	"weir/packet"
	"weir/replay"
	"weir/trace"
	"weir/trace/render"
)

var use = regexp.MustCompile(`use=\d+`)

// newSpare is weir's choice where the kernel made none.
func newSpare() *engine.Rand { return engine.NewRand(1) }

// tick lets time pass and returns what timers sent.
func (s *subject) tick(now int64) (out []engine.Output) {
	s.now = now
	for _, o := range s.m.Tick(now).Out {
		out = append(out, engine.Output{Dev: o.Dev, Data: slices.Clone(o.Data)})
	}
	return out
}

// receive gives weir one packet of a scenario.
func (s *subject) receive(it *replay.Item, data []byte) engine.Result {
	if it.In == machine.Local {
		return s.m.Send(data, it.Owner, it.Time)
	}
	return s.m.Receive(s.m.Ifaces().Name(it.In), it.Link, data, it.Time)
}

// shown is the tables that the file names, without the rules that let the
// kernel tell its walk. The kernel lists tables in the order of their first use.
func (s *scene) shown(family int, text string) string {
	tables, table, seen := map[string]string{}, "", map[string]int{}
	for l := range strings.Lines(text) {
		w := strings.Fields(l)
		if name, ok := strings.CutPrefix(l, "*"); ok {
			table = strings.TrimSpace(name)
		} else if len(w) > 2 && w[1] == "-A" {
			c := table + ":" + w[2]
			if seen[c]++; seen[c] <= s.rules[family][c].skip {
				continue
			}
		}
		tables[table] += l
	}
	all := ""
	for _, t := range []string{"raw", "mangle", "nat", "filter", "security"} {
		if s.named[family][t] {
			all += tables[t]
		}
	}
	return all
}

// write writes what Linux did with a packet. What Linux does not tell (why it
// dropped where no rule did, the body of a log line) is as weir says.
func (s *scene) write(it *replay.Item, data []byte, res *kernel.Result, w *engine.Result, grew func(string) int) {
	p := &render.Packet{N: it.N, Time: it.Time, In: it.In, Data: data}
	family := 0
	if len(data) > 0 && data[0]>>4 == 6 {
		family = 1
	}
	drop, state := s.steps(p, family, res)
	p.Verdict = fate(it, drop, res, w, grew)
	if p.Verdict == "drop" {
		p.Reason = drop
		if drop == "" && w.Verdict == engine.Dropped {
			p.Reason = w.Reason.String()
		}
	}
	p.Conn = s.conn(state, res, w)
	for _, l := range w.Logs {
		if l.Source != "TRACE" {
			p.Logs = append(p.Logs, l.Text)
		}
	}
	p.Out = s.left(data, res.Out, w)
	s.out.Packet(p)
}

// fate is what the counters of IP say.
func fate(it *replay.Item, drop string, res *kernel.Result, w *engine.Result, grew func(string) int) string {
	in := grew("Ip.InDelivers") + grew("Ip.InUnknownProtos") + grew("Ip6InDelivers") + grew("Ip6InUnknownProtos")
	v6 := len(it.Data) > 0 && it.Data[0]>>4 == 6
	gathered := grew("Ip.ReasmReqds")+grew("Ip6ReasmReqds") > 0 && grew("Ip.ReasmOKs")+grew("Ip6ReasmOKs") == 0
	switch {
	case it.In == machine.Local && res.Refused == nil && len(res.Out) > 0:
		return "output"
	case in > 0:
		return "local"
	case drop == "" && (gathered || v6 && w.Verdict == engine.Held): // what conntrack gathers for IPv6 nobody counts
		if w.Verdict == engine.Dropped {
			return "drop" // a fragment that is thrown away counts like one that waits
		}
		return "held"
	case drop == "" && reached(res.Trace, "INPUT"):
		return "local"
	case it.In != machine.Local && passed(res.Trace) && len(res.Out) > answers(res.Trace) && grew("Ip.FragFails")+grew("Ip6FragFails") == 0:
		return "forward"
	}
	return "drop"
}

// reached says whether a packet came to a hook.
func reached(lines []string, hook string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "mangle:"+hook+":") })
}

// answers counts the packets that the machine sent of its own.
func answers(lines []string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, "raw:OUTPUT:policy:") {
			n++
		}
	}
	return n
}

// passed says whether a packet went from FORWARD to POSTROUTING.
func passed(lines []string) bool {
	before := ""
	for _, l := range lines {
		f := strings.Split(l, ":")
		if len(f) != 4 || f[0] != "mangle" || f[1] != strings.ToUpper(f[1]) {
			continue
		}
		if f[1] == "POSTROUTING" && before == "FORWARD" {
			return true
		}
		before = f[1]
	}
	return false
}

// steps turns the lines of TRACE into the walk, and says whether a rule or a
// policy dropped the packet, and the state that connection tracking gave it.
func (s *scene) steps(p *render.Packet, family int, res *kernel.Result) (drop, state string) {
	hook, answer := "", false
	for _, l := range res.Trace {
		f := strings.Split(l, ":")
		if len(f) != 4 {
			continue
		}
		table, name := f[0], f[1]
		n, _ := strconv.Atoi(f[3])
		c := s.rules[family][table+":"+name]
		if c == nil {
			continue
		}
		if c.policy != "-" {
			hook = name
		}
		answer = answer || hook == "OUTPUT" && p.In != machine.Local
		st := trace.Step{Kind: trace.KindPolicy, Hook: hook, Table: table, Chain: name, Match: true, Verdict: c.policy}
		if n <= len(c.targets) {
			st.Kind, st.Rule, st.Target = trace.KindRule, n-c.skip, c.targets[n-1]
		} else if c.policy == "-" {
			continue // the end of a user's chain
		}
		if table == "mangle" && c.skip > 0 && st.Kind == trace.KindRule && st.Rule <= 0 && state == "" {
			state = states[n-1]
		}
		if !answer && drop == "" {
			switch {
			case st.Kind == trace.KindPolicy && c.policy == "DROP":
				drop = "policy"
			case st.Kind == trace.KindRule && st.Target == "DROP":
				drop = "rule"
			case st.Kind == trace.KindRule && st.Target == "REJECT":
				drop = "reject"
			}
		}
		if s.named[family][table] && (st.Kind != trace.KindRule || st.Rule > 0) {
			p.Steps = append(p.Steps, st)
		}
	}
	return drop, state
}

// conn is the packet's state with the number of its connection. Which number
// is weir's word: the kernel counts none; its table and its events are compared.
func (s *scene) conn(state string, res *kernel.Result, w *engine.Result) string {
	c := replay.ConnText(w.CT, w.Steps)
	if state == "" {
		if strings.Contains(c, "#") {
			return "lost"
		}
		return c // it never came so far
	}
	_, number, ok := strings.Cut(c, "#")
	if !ok || state == "INVALID" || state == "UNTRACKED" {
		return state
	}
	number, _, _ = strings.Cut(number, ",")
	text := state + " #" + number
	is := func(typ kernel.EventType) bool {
		return slices.ContainsFunc(res.Events, func(e kernel.Event) bool { return e.Type == typ })
	}
	switch known := slices.Contains(s.conns, number); {
	case is(kernel.EventDestroy) && strings.HasSuffix(c, ", closed"):
		text += ", closed"
	case !known && !is(kernel.EventNew) && strings.HasSuffix(c, ", never confirmed"):
		text += ", never confirmed"
	}
	return s.conns.Again(text)
}

// left is what left, in weir's order of interfaces: in which order the kernel
// served them cannot be seen. The identification that the machine gives to
// fragments of its own is random and counted here.
func (s *scene) left(in []byte, out []kernel.Output, w *engine.Result) (list []render.Out) {
	rest := slices.Clone(out)
	take := func(i int) {
		list = append(list, render.Out{Dev: rest[i].Dev, Data: s.counted(in, rest[i].Data)})
		rest = slices.Delete(rest, i, i+1)
	}
	for _, o := range w.Out {
		if i := slices.IndexFunc(rest, func(k kernel.Output) bool { return k.Dev == o.Dev.Name }); i >= 0 {
			take(i)
		}
	}
	for len(rest) > 0 {
		take(0)
	}
	return list
}

func (s *scene) counted(in, data []byte) []byte {
	var p, q packet.Packet
	d := slices.Clone(data)
	if packet.Parse(d, &p) != nil || !p.More && p.FragOff == 0 {
		return data
	}
	family := 0
	if p.Family == packet.IPv6 {
		family = 1
	}
	count := func(id uint32) uint32 {
		seen := &s.frags[family]
		i := slices.Index(*seen, id)
		if i < 0 {
			i = len(*seen)
			*seen = append(*seen, id)
		}
		return uint32(i + 1)
	}
	if p.Family == packet.IPv6 {
		at := d[p.FragHdr+4:]
		binary.BigEndian.PutUint32(at, count(binary.BigEndian.Uint32(at)))
	} else if packet.Parse(slices.Clone(in), &q) == nil && q.Family == packet.IPv4 && q.ID() != p.ID() {
		binary.BigEndian.PutUint16(d[4:], uint16(count(uint32(p.ID()))))
		binary.BigEndian.PutUint16(d[10:], 0)
		binary.BigEndian.PutUint16(d[10:], packet.IPv4HeaderChecksum(d[:p.HeaderLen()]))
	}
	return d
}

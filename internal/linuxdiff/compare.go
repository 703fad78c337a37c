package linuxdiff

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/internal/kernel"
	"weir/packet"
	"weir/xtables/save"
)

// Difference is where weir and the kernel part.
type Difference struct {
	// Packet counts from 0; the number of packets is what is compared at
	// the end.
	Packet int
	// What is "output", "events", "trace", "invalid", "table", "counters4",
	// "counters6" or "statistics".
	What         string
	Kernel, Weir string
}

// String is the difference for people.
func (d *Difference) String() string {
	return fmt.Sprintf("packet %d: %s\n  kernel: %s\n  weir:   %s", d.Packet, d.What,
		strings.ReplaceAll(d.Kernel, "\n", "\n          "), strings.ReplaceAll(d.Weir, "\n", "\n          "))
}

// packetDifference compares what one packet caused.
func packetDifference(in []byte, k *kernel.Result, w *engine.Result, s *subject, reasons bool) *Difference {
	if a, b, same := sameOutputs(in, k.Out, outputs(w), s.ahead); !same {
		return &Difference{What: "output", Kernel: a, Weir: b + fmt.Sprintf("  (%s %s)", w.Verdict, w.Reason)}
	}
	trace, invalid := logs(w.Logs)
	if a, b := strings.Join(k.Trace, "\n"), strings.Join(trace, "\n"); a != b {
		return &Difference{What: "trace", Kernel: a, Weir: b}
	}
	if a, b, same := sameEvents(k.Events, s.events, s.slack); !same {
		return &Difference{What: "events", Kernel: a, Weir: b}
	}
	if a, b := strings.Join(k.Invalid, "\n"), strings.Join(invalid, "\n"); reasons && a != b {
		return &Difference{What: "invalid", Kernel: a, Weir: b}
	}
	return nil
}

// logs sorts what weir logged as the kernel's NFLOG socket shows it.
func logs(list []hook.LogRecord) (trace, invalid []string) {
	for _, l := range list {
		switch {
		case l.Source == "TRACE":
			t, _, _ := strings.Cut(strings.TrimPrefix(l.Text, "TRACE: "), " ")
			trace = append(trace, t)
		case strings.HasPrefix(l.Source, "nf_ct_"):
			invalid = append(invalid, strings.TrimSpace(l.Source+": "+l.Text))
		case l.Source == "osf":
			invalid = append(invalid, l.Text)
		}
	}
	return trace, invalid
}

// sameEvents compares the messages of one packet, in order.
func sameEvents(k, w []kernel.Event, slack int64) (kernelText, weirText string, same bool) {
	same = len(k) == len(w)
	for i := 0; same && i < len(k); i++ {
		a, b := k[i], w[i]
		same = a.Type == b.Type && sameExpect(a.Expect, b.Expect) && sameEntry(&a.Entry, &b.Entry, a.Type != kernel.EventDestroy, a.Type == kernel.EventDestroy, slack)
	}
	if same {
		return "", "", true
	}
	return eventText(k), eventText(w), false
}

func eventText(list []kernel.Event) string {
	if len(list) == 0 {
		return "none"
	}
	var b []string
	for _, e := range list {
		if e.Type == kernel.ExpectNew || e.Type == kernel.ExpectDestroy {
			b = append(b, e.Type.String()+" "+expectText(e.Expect))
			continue
		}
		b = append(b, e.Type.String()+" "+entryText(&e.Entry))
	}
	return strings.Join(b, "\n")
}

// sameEntry compares what the kernel's message carries; timeouts may be slack
// seconds apart.
func sameEntry(k, w *kernel.Entry, timeout, counters bool, slack int64) bool {
	has := func(h kernel.Has) bool { return k.Has&h != 0 }
	// A connection that is being removed may say so or not, by how far the
	// removal has come.
	const hidden = uint32(conntrack.Dying)
	switch {
	case k.Orig != w.Orig, k.Reply != w.Reply, has(kernel.HasZone) && k.Zone != w.Zone,
		has(kernel.HasStatus) && k.Status&^hidden != w.Status&^hidden,
		has(kernel.HasMark) && k.Mark != w.Mark,
		has(kernel.HasState) && k.State != w.State,
		timeout && k.Helper != w.Helper, has(kernel.HasMaster) && k.Master != w.Master,
		// The message of a removal has the state only.
		has(kernel.HasState) && timeout && k.WScale != w.WScale,
		has(kernel.HasCounters) && counters && k.Counters != w.Counters:
		return false
	}
	if timeout && has(kernel.HasTimeout) {
		d := int64(k.Timeout) - int64(w.Timeout)
		return d >= -slack && d <= slack
	}
	return true
}

func entryText(e *kernel.Entry) string {
	tuple := func(t kernel.Tuple) string {
		s := fmt.Sprintf("%s:%d>%s:%d", t.Src, t.SrcPort, t.Dst, t.DstPort)
		if t.Zone != 0 {
			s += fmt.Sprintf("@%d", t.Zone)
		}
		return s
	}
	return fmt.Sprintf("proto %d %s %s status %#x state %d timeout %d mark %#x zone %d wscale %v flags %x counters %v helper %q master %v", e.Orig.Proto,
		tuple(e.Orig), tuple(e.Reply), e.Status, e.State, e.Timeout, e.Mark, e.Zone, e.WScale, e.Flags, e.Counters, e.Helper, e.Master)
}

// sameExpect compares two expectations.
func sameExpect(k, w kernel.Expect) bool {
	if k.Flags&uint32(conntrack.ExpectPermanent) != 0 && k.Fn == "" {
		// Linux does not set what it saves for NAT in an expectation for
		// broadcasts, and shows what was in memory.
		k.NAT, k.NATDir, w.NAT, w.NATDir = kernel.Tuple{}, 0, kernel.Tuple{}, 0
	}
	d := int64(k.Timeout) - int64(w.Timeout)
	w.Timeout = k.Timeout
	return k == w && d >= -3 && d <= 3
}

func expectText(e kernel.Expect) string { return fmt.Sprintf("%+v", e) }

// sameExpects compares the expectations of both.
func sameExpects(k, w []kernel.Expect) *Difference {
	key := func(e kernel.Expect) string { return fmt.Sprint(e.Tuple, e.Mask, e.Master) }
	order := func(a, b kernel.Expect) int { return strings.Compare(key(a), key(b)) }
	slices.SortFunc(k, order)
	slices.SortFunc(w, order)
	if slices.EqualFunc(k, w, sameExpect) {
		return nil
	}
	text := func(l []kernel.Expect) string {
		var b []string
		for _, e := range l {
			b = append(b, expectText(e))
		}
		return strings.Join(b, "\n")
	}
	return &Difference{What: "expectations", Kernel: text(k), Weir: text(w)}
}

// sameTable compares the connection tables.
func sameTable(k, w []kernel.Entry, slack int64) *Difference {
	key := func(e *kernel.Entry) string { return fmt.Sprint(e.Orig, e.Reply, e.Zone) }
	order := func(l []kernel.Entry) {
		sort.Slice(l, func(i, j int) bool { return key(&l[i]) < key(&l[j]) })
	}
	order(k)
	order(w)
	var a, b []string
	for len(k) > 0 || len(w) > 0 {
		switch {
		case len(w) == 0 || len(k) > 0 && key(&k[0]) < key(&w[0]):
			a, k = append(a, entryText(&k[0])), k[1:]
		case len(k) == 0 || key(&w[0]) < key(&k[0]):
			b, w = append(b, entryText(&w[0])), w[1:]
		default:
			same := sameEntry(&k[0], &w[0], true, true, slack) && (k[0].Has&kernel.HasState == 0 || k[0].Orig.Proto != packet.TCP || k[0].Flags == w[0].Flags)
			if !same {
				a, b = append(a, entryText(&k[0])), append(b, entryText(&w[0]))
			}
			k, w = k[1:], w[1:]
		}
	}
	if len(a)+len(b) == 0 {
		return nil
	}
	return &Difference{What: "table", Kernel: strings.Join(a, "\n"), Weir: strings.Join(b, "\n")}
}

// sameCounters compares the output of iptables-save -c, table by table: the
// kernel lists tables in the order of their first use.
func sameCounters(what, k, w string) *Difference {
	a, b := tables(k), tables(w)
	var x, y []string
	for name := range a {
		la, lb := a[name], b[name]
		if lb == nil && len(la) > 0 && !slices.ContainsFunc(la, func(l string) bool { return l[0] != ':' }) {
			continue // an empty table that the case does not name
		}
		for i := range max(len(la), len(lb)) {
			p, q := "", ""
			if i < len(la) {
				p = la[i]
			}
			if i < len(lb) {
				q = lb[i]
			}
			if p != q {
				x, y = append(x, name+" "+p), append(y, name+" "+q)
			}
		}
	}
	if len(x) == 0 {
		return nil
	}
	return &Difference{What: what, Kernel: strings.Join(x, "\n"), Weir: strings.Join(y, "\n")}
}

func tables(text string) map[string][]string {
	m := map[string][]string{}
	name := ""
	for _, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || l[0] == '#' || l == "COMMIT":
		case l[0] == '*':
			name = l[1:]
			m[name] = nil
		default:
			m[name] = append(m[name], l)
		}
	}
	return m
}

// counters is weir's side of sameCounters.
func (s *subject) counters(f packet.Family) string {
	return string(save.Append(nil, s.m.Rules(f), true))
}

// sameStats compares conntrack -S; before is where the kernel's namespace
// stood at the start. When a port was chosen at random the kernel may have met
// more ports in use than weir, which was told the answer; and where there was
// none to tell, both have met some.
func sameStats(before, after kernel.Stats, w conntrack.Stats, s *steer) *Difference {
	k := conntrack.Stats{
		Found: after.Found - before.Found, Invalid: after.Invalid - before.Invalid,
		InsertFailed: after.InsertFailed - before.InsertFailed, Drop: after.Drop - before.Drop,
		EarlyDrop: after.EarlyDrop - before.EarlyDrop, Error: after.Error - before.Error,
		ClashResolve: after.ClashResolve - before.ClashResolve, ChainTooLong: after.ChainTooLong - before.ChainTooLong,
	}
	told := w
	if s.guessed || s.asked && w.Found < k.Found {
		told.Found = k.Found
	}
	told.ExpectNew, told.ExpectCreate, told.ExpectDelete = 0, 0, 0 // the kernel counts these elsewhere
	if k == told {
		return nil
	}
	return &Difference{What: "statistics", Kernel: fmt.Sprintf("%+v", k), Weir: fmt.Sprintf("%+v", w)}
}

package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weir/engine"
	"weir/machine"
	"weir/packet"
	"weir/replay"
	"weir/xtables"
)

// Sheet asks many rules about a few packets. It is the scenario of an
// extension: a file of testdata/extensions.
//
//	# A comment on top says what there is to learn.
//	-- rules mangle FORWARD --
//	-m length --length 128
//	-m length ! --length 128
//	-m length --length 65536
//	-- packets --
//	lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=100
//	lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=101
//	-- want --
//	rules mangle FORWARD
//	    1                    -m length --length 128
//	    2                    -m length ! --length 128
//	    refused              -m length --length 65536
//
// A section of rules names table and chain; "rules.v4" and "rules.v6" are of
// one family, "rules" is loaded into both. Sections machine, ipset.save, nfacct.list, timeout.conf and pf.os may
// stand in front; without the first, lan0 is 192.0.2.0/24 and 2001:db8:1::/64
// and everything else is behind wan0. Under want stands for each rule which of
// the packets it matched, as recorded from Linux; in the file of a target also
// what became of the packets and the connections. A rule that Linux does not
// load is refused.
type Sheet struct {
	// File has the machine with the rules that are not refused.
	File
	rules []sheetRule
	// places are the rules of a family's chains, by table:chain: indexes of
	// rules.
	places [2]map[string][]int
}

// sheetRule is a line of a section of rules.
type sheetRule struct {
	title   string // of the section
	table   string
	chain   string
	text    string
	in      [2]bool // the families in which it stands
	refused [2]bool
}

// sheetMachine is the machine of a sheet that names none.
const sheetMachine = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24, "2001:db8:1::1/64"]}
  - {name: wan0, addresses: [203.0.113.2/24, "2001:db8:2::2/64"]}
routes:
  - {to: 0.0.0.0/0, via: 203.0.113.1, dev: wan0}
  - {to: "::/0", via: "2001:db8:2::1", dev: wan0}
`

// ParseSheet reads a sheet and finds out which rules weir refuses.
func ParseSheet(name string, src []byte) (*Sheet, []error) {
	s := &Sheet{File: File{Name: name}}
	var errs []error
	fail := func(line, col int, msg string) {
		errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: name, Line: line, Col: col}, Msg: msg})
	}
	secs := s.sections(src, fail)
	yaml, at := []byte(sheetMachine), 0
	var packets *section
	files := map[string]*section{}
	for i := range secs {
		sec := &secs[i]
		w := strings.Fields(sec.name)
		switch {
		case sec.name == "machine":
			yaml, at = sec.text, sec.line
		case sec.name == "ipset.save", sec.name == "nfacct.list", sec.name == "timeout.conf", sec.name == "pf.os":
			files[sec.name] = sec
		case sec.name == "packets":
			packets = sec
		case sec.name == "want":
			s.Want, s.WantLine = string(sec.text), sec.line
		case len(w) == 3 && (w[0] == "rules" || w[0] == "rules.v4" || w[0] == "rules.v6"):
			s.add(sec, w)
		default:
			fail(sec.line, 4, "no section is called "+sec.name+": machine, ipset.save, nfacct.list, timeout.conf, pf.os, rules TABLE CHAIN, packets, want")
		}
	}
	m, merrs := machine.FromYAML(name, yaml, at)
	errs = append(errs, merrs...)
	s.Machine = m
	if len(errs) > 0 {
		return s, errs
	}
	for file, to := range map[string]*machine.File{"ipset.save": &m.IPSets, "nfacct.list": &m.Accounts, "timeout.conf": &m.Timeouts, "pf.os": &m.Fingerprints} {
		if sec := files[file]; sec != nil {
			*to = machine.File{Name: name, Text: append(slices.Repeat([]byte{'\n'}, sec.line), sec.text...)}
		}
	}
	if packets != nil {
		s.packets(packets, fail)
	}
	return s, append(errs, s.refuse()...)
}

// sections cuts the file. The comment on top is the Doc.
func (s *Sheet) sections(src []byte, fail func(int, int, string)) (secs []section) {
	var doc []string
	off := 0
	for l := range strings.SplitAfterSeq(string(src), "\n") {
		n := 1 + strings.Count(string(src[:off]), "\n")
		off += len(l)
		text := strings.TrimRight(l, "\r\n")
		if name, ok := mark(text); ok {
			secs = append(secs, section{name: name, line: n})
			if name == "want" {
				s.front = src[:off]
			}
		} else if len(secs) > 0 {
			last := &secs[len(secs)-1]
			last.text = append(last.text, l...)
		} else if c, ok := strings.CutPrefix(text, "#"); ok {
			doc = append(doc, strings.TrimPrefix(c, " "))
			if why, ok := strings.CutPrefix(doc[len(doc)-1], "Not on Linux:"); ok {
				s.NotLinux = strings.TrimSpace(why)
			}
		} else if strings.TrimSpace(text) != "" {
			fail(n, 1, "before the first section only comments stand")
		}
	}
	if s.front == nil {
		s.front = append([]byte(strings.TrimRight(string(src), "\n")), "\n-- want --\n"...)
	}
	s.Doc = strings.Join(doc, "\n")
	return secs
}

// add takes the rules of a section.
func (s *Sheet) add(sec *section, w []string) {
	for l := range strings.Lines(string(sec.text)) {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		s.rules = append(s.rules, sheetRule{title: sec.name, table: w[1], chain: w[2], text: l,
			in: [2]bool{w[0] != "rules.v6", w[0] != "rules.v4"}})
	}
}

// refuse writes the rules of the machine without those that weir refuses.
func (s *Sheet) refuse() []error {
	for range 8 {
		var lines [2][]int
		for f := range lines {
			s.places[f] = map[string][]int{}
			text := s.text(f, func(i int) { lines[f] = append(lines[f], i) })
			*[]*machine.File{&s.Machine.Rules4, &s.Machine.Rules6}[f] = machine.File{Name: []string{"rules.v4", "rules.v6"}[f], Text: []byte(text)}
		}
		_, errs := engine.New(replay.Config(s.Machine, 1))
		if len(errs) == 0 {
			return nil
		}
		for _, err := range errs {
			var e *xtables.Error
			f := 0
			if !errors.As(err, &e) {
				return errs
			}
			if e.Pos.File == "rules.v6" {
				f = 1
			}
			if e.Pos.Line < 1 || e.Pos.Line > len(lines[f]) || lines[f][e.Pos.Line-1] < 0 {
				return errs
			}
			s.rules[lines[f][e.Pos.Line-1]].refused[f] = true
		}
	}
	return []error{fmt.Errorf("%s: rules are refused for ever", s.Name)}
}

// text is the rules of a family that are not refused; line is told for each
// line the rule that stands there, -1 for none.
func (s *Sheet) text(f int, line func(int)) string {
	var b strings.Builder
	write := func(i int, text string) {
		b.WriteString(text + "\n")
		line(i)
	}
	for _, t := range xtables.TableNames() {
		if !slices.ContainsFunc(s.rules, func(r sheetRule) bool { return r.table == t && r.in[f] }) {
			continue
		}
		write(-1, "*"+t)
		for _, c := range s.chains(t, f) {
			write(-1, ":"+c)
		}
		for i := range s.rules {
			r := &s.rules[i]
			if r.table != t || !r.in[f] || r.refused[f] {
				continue
			}
			write(i, "-A "+r.chain+" "+r.text)
			key := t + ":" + r.chain
			s.places[f][key] = append(s.places[f][key], i)
		}
		write(-1, "COMMIT")
	}
	return b.String()
}

// chains are the lines of the built-in chains of a table, then of those that the
// sheet names.
func (s *Sheet) chains(table string, f int) []string {
	var list, names []string
	for _, c := range xtables.Builtins(table) {
		list, names = append(list, c.Name+" ACCEPT [0:0]"), append(names, c.Name)
	}
	for _, r := range s.rules {
		if r.table == table && r.in[f] && !slices.Contains(names, r.chain) {
			list, names = append(list, r.chain+" - [0:0]"), append(names, r.chain)
		}
	}
	return list
}

// Refused calls each with every rule that weir refuses, alone in its table.
func (s *Sheet) Refused(each func(f packet.Family, rule, text string)) {
	for i := range s.rules {
		for f, fam := range []packet.Family{packet.IPv4, packet.IPv6} {
			if r := s.rules[i]; r.refused[f] {
				r.refused[f] = false
				alone := Sheet{rules: []sheetRule{r}}
				alone.places[f] = map[string][]int{}
				each(fam, r.text, alone.text(f, func(int) {}))
			}
		}
	}
}

// Rules calls each with every rule and whether it is refused everywhere.
func (s *Sheet) Rules(each func(rule string, refused bool)) {
	for _, r := range s.rules {
		each(r.text, (r.refused[0] || !r.in[0]) && (r.refused[1] || !r.in[1]))
	}
}

// Compact turns what File.Run returned, or what was recorded from Linux, into
// the text under want.
func (s *Sheet) Compact(run string) string {
	took := make([][]int, len(s.rules))
	var rest strings.Builder
	var broken []int
	six := map[int]bool{}
	src := s.Packets
	for it := (replay.Item{}); src.Next(&it) == nil; {
		six[it.N] = len(it.Data) > 0 && it.Data[0]>>4 == 6
	}
	n, f := 0, 0
	for l := range strings.Lines(run) {
		if strings.HasPrefix(l, "rules.v") {
			break
		}
		if l[0] != ' ' {
			if v, err := strconv.Atoi(strings.Fields(l)[0]); err == nil {
				n, f = v, 0
				if six[v] {
					f = 1
				}
				if strings.Contains(l, " drop (hotdrop) ") {
					broken = append(broken, v)
				}
			}
			rest.WriteString(l)
			continue
		}
		w := strings.TrimSpace(l)
		hook, _, _ := strings.Cut(w, " ")
		if !slices.Contains([]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}, hook) {
			rest.WriteString(l)
			continue
		}
		table := ""
		for part := range strings.SplitSeq(strings.TrimSpace(strings.TrimPrefix(w, hook)), ", ") {
			words := strings.Fields(part)
			if slices.Contains(xtables.TableNames(), words[0]) {
				table, words = words[0], words[1:]
			}
			chain, num, ok := strings.Cut(words[0], ":")
			if v, err := strconv.Atoi(num); ok && err == nil {
				if list := s.places[f][table+":"+chain]; v <= len(list) && v > 0 {
					i := list[v-1]
					if len(took[i]) == 0 || took[i][len(took[i])-1] != n {
						took[i] = append(took[i], n)
					}
				}
			}
		}
	}
	if !strings.HasPrefix(s.Name, "target-") {
		rest.Reset()
		if len(broken) > 0 {
			fmt.Fprintf(&rest, "dropped, since a rule could not judge: %s\n", spans(broken))
		}
	}
	return s.table(took) + rest.String()
}

// table is the rules with the packets that they took. What became of packets
// follows for targets.
func (s *Sheet) table(took [][]int) string {
	var b strings.Builder
	title := ""
	for i := range s.rules {
		r := &s.rules[i]
		if r.title != title {
			title = r.title
			fmt.Fprintln(&b, title)
		}
		var what []string
		if len(took[i]) > 0 {
			what = append(what, spans(took[i]))
		}
		no4, no6 := r.in[0] && r.refused[0], r.in[1] && r.refused[1]
		switch {
		case no4 && no6, no4 && !r.in[1], no6 && !r.in[0]:
			what = append(what, "refused")
		case no4:
			what = append(what, "refused by iptables")
		case no6:
			what = append(what, "refused by ip6tables")
		case len(what) == 0:
			what = append(what, "none")
		}
		fmt.Fprintf(&b, "    %-20s %s\n", strings.Join(what, ", "), r.text)
	}
	return b.String()
}

// spans writes 1 2 3 5 as 1-3 5.
func spans(list []int) string {
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		switch {
		case j > i+1:
			out = append(out, fmt.Sprintf("%d-%d", list[i], list[j]))
			i = j + 1
		default:
			out = append(out, strconv.Itoa(list[i]))
			i++
		}
	}
	return strings.Join(out, " ")
}

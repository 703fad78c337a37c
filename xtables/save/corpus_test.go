package save_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

// corpus is a folder beside the project with cases that nobody here wrote.
const corpus = "../../../shared/corpus"

func readCorpus(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		t.Skipf("the corpus is absent: %v", err)
	}
	return b
}

func familyOf(s string) packet.Family {
	if s == "6" {
		return packet.IPv6
	}
	return packet.IPv4
}

// required are the extensions that must be there and agree with Linux in every
// row (the corpus has no rows that count for icmp, statistic and NOTRACK).
const required = "tcp udp icmp icmp6 conntrack state multiport mark connmark comment addrtype iprange length ttl hl " +
	"limit mac statistic tcpmss tos dscp pkttype standard iptables " +
	"REJECT LOG MARK CONNMARK CT SNAT DNAT MASQUERADE REDIRECT NETMAP TCPMSS TTL HL TOS DSCP"

// missing says why weir does not have the extension that a row is about; empty
// if it has it.
func missing(f packet.Family, kind, name string) string {
	why := "not there"
	if kind == "core" {
		return ""
	}
	for _, m := range std.Matches() {
		if kind == "match" && m.Name == name && m.Families.Has(f) {
			why = m.Refuse
		}
	}
	for _, m := range std.Targets() {
		if kind == "target" && m.Name == name && m.Families.Has(f) {
			why = m.Refuse
		}
	}
	return why
}

// TestExtensionRows runs iptables' own extension tests: a rule is accepted or
// refused as Linux does it, and prints as iptables-save prints it. Only rows
// count in which iptables-legacy did what the file says.
func TestExtensionRows(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(readCorpus(t, "iptables-t.tsv"))), "\n")
	type tally struct{ ok, all int }
	count := map[string]*tally{}
	absent := map[string]int{}
	for _, l := range lines[1:] {
		f := strings.Split(l, "\t")
		id, ext, kind, fam, table, chain, args, want, result := f[0], f[1], f[2], familyOf(f[5]), f[6], f[7], f[8], f[9], f[10]
		if f[13] != "PASS" {
			continue
		}
		if why := missing(fam, kind, ext); why != "" {
			absent[ext+": "+why]++
			continue
		}
		n := count[ext]
		if n == nil {
			n = &tally{}
			count[ext] = n
		}
		n.all++
		src := "*" + table + "\n-A " + chain + " " + args + "\nCOMMIT\n"
		file, errs := save.Parse("rules", []byte(src), fam, std.List())
		problem := ""
		switch {
		case result == "FAIL" && len(errs) == 0:
			problem = "accepted, Linux refuses it"
		case result == "OK" && len(errs) > 0:
			problem = errs[0].Error()
		case result == "OK":
			problem = "prints\n" + string(save.Print(file)) + "want " + want
			for _, p := range strings.Split(string(save.Print(file)), "\n") {
				if p == "-A "+want {
					problem = ""
				}
			}
		}
		if problem == "" {
			n.ok++
			continue
		}
		t.Errorf("%s: %s\n\t%s", id, args, problem)
	}
	var names []string
	ok, all := 0, 0
	for n := range count {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		t.Logf("%-14s %3d of %3d", n, count[n].ok, count[n].all)
		ok, all = ok+count[n].ok, all+count[n].all
	}
	t.Logf("%d of %d rows", ok, all)
	for _, why := range sortedKeys(absent) {
		t.Logf("exception: %3d rows of %s", absent[why], why)
		ext, _, _ := strings.Cut(why, ":")
		if strings.Contains(" "+required+" ", " "+ext+" ") {
			t.Errorf("%s must be there", ext)
		}
	}
	for _, ext := range strings.Fields(required) {
		if n := count[ext]; n != nil && n.ok != n.all {
			t.Errorf("%s does not agree in every row", ext)
		}
	}
}

func sortedKeys(m map[string]int) (names []string) {
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// TestRuleSets loads rule sets of other projects and compares with what
// iptables-legacy-save printed after loading them on Linux.
func TestRuleSets(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(readCorpus(t, "rulesets/INDEX.tsv"))), "\n")
	ok := 0
	for _, l := range lines[1:] {
		f := strings.Split(l, "\t")
		src := readCorpus(t, "rulesets/"+f[0])
		want := readCorpus(t, "rulesets-saved/"+strings.TrimSuffix(f[0], ".rules")+".save")
		file, errs := save.Parse(f[0], src, familyOf(f[1]), std.List())
		if why := exception(errs); why != "" {
			t.Logf("exception %s: %s", f[0], why)
			continue
		}
		if len(errs) > 0 {
			t.Errorf("%s: %d errors, the first: %v", f[0], len(errs), errs[0])
			continue
		}
		got := save.Print(file)
		if d := firstDifference(got, named(want, got)); d != "" {
			t.Errorf("%s: %s", f[0], d)
			continue
		}
		ok++
	}
	t.Logf("%d of %d rule sets", ok, len(lines)-1)
}

// exception says which extensions that weir has not, or refuses, are all that
// keeps a rule set from being loaded; empty if something else does.
func exception(errs []error) string {
	why := map[string]int{}
	for _, err := range errs {
		_, msg, _ := strings.Cut(err.Error(), ": ")
		word := strings.Fields(msg)
		switch {
		case strings.HasPrefix(msg, "no match "):
			why["no -m "+strings.Trim(word[2], `";`)]++
		case strings.HasPrefix(msg, "no target or chain "):
			why["no -j "+strings.Trim(word[4], `";`)]++
		case strings.HasPrefix(msg, "-m ") || strings.HasPrefix(msg, "-j "):
			name, reason, _ := strings.Cut(msg[3:], ": ")
			kind := map[byte]string{'m': "match", 'j': "target"}[msg[1]]
			if missing(packet.IPv4, kind, name) != reason && missing(packet.IPv6, kind, name) != reason {
				return ""
			}
			why[msg]++
		default:
			return ""
		}
	}
	return strings.Join(sortedKeys(why), ", ")
}

// named puts those tables of saved that got has into the order of got, with
// zero counters.
func named(saved, got []byte) []byte {
	tables := map[string][]byte{}
	for _, b := range bytes.SplitAfter(saved, []byte("COMMIT\n")) {
		b = dropComments(b)
		if len(b) > 0 {
			name, _, _ := bytes.Cut(b, []byte("\n"))
			tables[string(name)] = b
		}
	}
	var out []byte
	for _, l := range bytes.Split(got, []byte("\n")) {
		if len(l) > 0 && l[0] == '*' {
			out = append(out, tables[string(l)]...)
		}
	}
	return out
}

func dropComments(b []byte) (out []byte) {
	for _, l := range bytes.SplitAfter(b, []byte("\n")) {
		if len(l) > 0 && l[0] == '#' {
			continue
		}
		if len(l) > 0 && l[0] == ':' {
			l = append(l[:bytes.LastIndexByte(l, '[')], "[0:0]\n"...)
		}
		out = append(out, l...)
	}
	return out
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := 0; i < max(len(g), len(w)); i++ {
		a, b := "(end)", "(end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return "got  " + a + "\n\twant " + b
		}
	}
	return ""
}

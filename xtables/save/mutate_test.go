package save_test

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"weir/xtables/save"
	"weir/xtables/std"
)

// TestMutatedRowsAgainstIptables joins, cuts and stirs rows of the corpus and
// asks iptables-legacy and weir about each: both accept and print the same, or
// both refuse.
func TestMutatedRowsAgainstIptables(t *testing.T) {
	needIptables(t)
	const n = 300
	r := rand.New(rand.NewPCG(1, 2))
	lines := strings.Split(strings.TrimSpace(string(readCorpus(t, "iptables-t.tsv"))), "\n")[1:]
	type row struct{ fam, table, chain, args string }
	var rows []row
	byTable := map[string][]string{}
	for _, l := range lines {
		f := strings.Split(l, "\t")
		if missing(familyOf(f[5]), f[2], f[1]) != "" || f[13] != "PASS" {
			continue
		}
		rows = append(rows, row{f[5], f[6], f[7], f[8]})
		byTable[f[5]+f[6]] = append(byTable[f[5]+f[6]], f[8])
	}
	for i := 0; i < n; i++ {
		w := rows[r.IntN(len(rows))]
		args := strings.Fields(w.args)
		other := func() []string { l := byTable[w.fam+w.table]; return strings.Fields(l[r.IntN(len(l))]) }
		if r.IntN(3) > 0 {
			args = append(args, other()...)
		}
		for k := r.IntN(4); k > 0 && len(args) > 0; k-- {
			args = mutate(r, args, other)
		}
		for j, a := range args {
			if a == "" || strings.ContainsAny(a, " ") && !strings.Contains(a, "\"") {
				args[j] = "\"" + a + "\""
			}
		}
		text := "*" + w.table + "\n:A -\n-A " + w.chain + " " + strings.Join(args, " ") + "\nCOMMIT\n"
		tool := "iptables-legacy"
		if w.fam == "6" {
			tool = "ip6tables-legacy"
		}
		cmd := exec.Command("timeout", "5", "unshare", "-n", "sh", "-c", tool+"-restore && "+tool+"-save")
		cmd.Stdin = strings.NewReader(text)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		f, perr := save.Parse("r", []byte(text), familyOf(w.fam), std.List())
		if (err == nil) != (len(perr) == 0) {
			p := ""
			if f != nil {
				p = string(save.Print(f))
			}
			t.Errorf("%s %s\n   linux: %v %s\n   weir: %v %s", w.fam, strings.Split(text, "\n")[2], err, strings.Split(errs.String(), "\n")[0], perr, p)
			continue
		}
		if err == nil {
			p := save.Print(f)
			if d := firstDifference(p, named(out.Bytes(), p)); d != "" {
				t.Errorf("%s %s\n   %s", w.fam, strings.Split(text, "\n")[2], d)
			}
		}
	}
}

// mutate changes one thing about a rule. other gives words of another rule.
func mutate(r *rand.Rand, args []string, other func() []string) []string {
	j := r.IntN(len(args))
	switch r.IntN(8) {
	case 0:
		args = append(args[:j:j], args[j+1:]...)
	case 1:
		args = append(args[:j:j], append([]string{"!"}, args[j:]...)...)
	case 2:
		args[j] = other()[0]
	case 3:
		if len(args[j]) > 3 && strings.HasPrefix(args[j], "--") {
			args[j] = args[j][:3+r.IntN(len(args[j])-2)]
		}
	case 4:
		args = append(args, []string{"-p tcp", "-p udp", "-s 1.2.3.0/24", "-i eth0", "-o eth1", "-j ACCEPT", "-f", "-m comment --comment x", "-g A", "-c 1 2", "-p icmp", "-p sctp", "-j A", "-m state --state NEW"}[r.IntN(14)])
		args = strings.Fields(strings.Join(args, " "))
	case 5:
		v := []string{"0", "1", "255", "256", "65535", "-1", "4294967295", "4294967296", "", "a", "1:2", "2:1", ":", "1:", ":9", "1-2", "a,b", "1,2", "1/2", "0/0", "10.0.0.1", "::1", "tcp", "http", "1.5", "+1", " 1", "08"}
		args[j] = v[r.IntN(len(v))]
	case 6:
		k := r.IntN(len(args))
		args[j], args[k] = args[k], args[j]
	case 7:
		if j+1 < len(args) && strings.HasPrefix(args[j], "--") {
			args = append(append(args[:j:j], args[j]+"="+args[j+1]), args[j+2:]...)
		}
	}
	return args
}

package linuxdiff

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/internal/kernel"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
	"weir/xtables/std"
)

// loads compares what both sides make of a rule file: whether it loads, and
// what is printed then. list is what weir's rules may name.
func loads(t *testing.T, k *kernel.Kernel, v6 bool, list xtables.List, text string) {
	t.Helper()
	restore, dump, family := "iptables-legacy-restore", "iptables-legacy-save", packet.IPv4
	if v6 {
		restore, dump, family = "ip6tables-legacy-restore", "ip6tables-legacy-save", packet.IPv6
	}
	// Empty first: named state ends with the rules that were there.
	if _, _, _, err := k.Program(emptyTables, restore); err != nil {
		t.Fatal(err)
	}
	_, said, status, err := k.Program(text, restore)
	if err != nil {
		t.Fatal(err)
	}
	f, errs := save.Parse("rules", []byte(text), family, list)
	if len(errs) == 0 {
		shared := &xtables.Shared{Sets: list.Sets}
		errs = f.Rules.Bind(shared)
		defer f.Rules.Unbind()
	}
	if (status == 0) != (len(errs) == 0) {
		t.Errorf("%s\nLinux: status %d %s\nweir: %v", text, status, said, errs)
		return
	}
	if status != 0 {
		return
	}
	want, _, _, err := k.Program("", dump)
	if err != nil {
		t.Fatal(err)
	}
	if got := ruleLines(string(save.Print(f))); got != ruleLines(want) {
		t.Errorf("%s\nweir prints\n%s\nLinux prints\n%s", text, got, ruleLines(want))
	}
}

const emptyTables = "*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n*mangle\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n" +
	"*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"

var ruleLine = regexp.MustCompile(`(?m)^-A .*`)

// ruleLines are the rules of a printed file, sorted: iptables begins with the
// table that was used last.
func ruleLines(text string) string {
	list := ruleLine.FindAllString(text, -1)
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// filter is a table of rules of INPUT.
func filterInput(rules ...string) string {
	return "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT " + strings.Join(rules, "\n-A INPUT ") + "\nCOMMIT\n"
}

// TestRateEstimatorsLoadAsLinux compares options, their order and what clashes.
func TestRateEstimatorsLoadAsLinux(t *testing.T) {
	k, list := extensionKernel(t), std.List()
	const a, b = "-j RATEEST --rateest-name a --rateest-interval 250ms --rateest-ewmalog 500ms", "-j RATEEST --rateest-name b --rateest-interval 1s --rateest-ewmalog 20s"
	for _, r := range []string{
		"250ms 250ms", "250ms 360ms", "250ms 361ms", "250ms 868ms", "250ms 870ms", "1 10", "1s 4000s", "8s 4200s", "0 1s", "0.3s 1s", "8s 20s", "8.01s 20s",
		"1sec 2secs", "1000msec 2000msecs", "1000000usec 2000000usecs", "1SEC 2Ms", "1SEC 2000Ms", "1m 2", "x 2", "-1 2", "0x1s 2s", "inf 2s", "nan 2s", "4295s 2s", "5000s 2s",
		"1ms 1000s", "1ms 4290s", "1us 4290s", "2us 4290s", "2us 2147s", "4us 2290s", "1s 1.44s", "1s 1.443s", "251ms 2s", "500.001ms 2s", "500.0009ms 2s", "1 100", "1e0s 2e0s", "0x1p0s 2s", "1s 0",
	} {
		w := strings.Fields(r)
		loads(t, k, false, list, filterInput("-j RATEEST --rateest-name x --rateest-interval "+w[0]+" --rateest-ewmalog "+w[1]))
	}
	for _, r := range []string{"", "--rateest-name a", "--rateest-name a --rateest-interval 250ms", "--rateest-name a --rateest-name b --rateest-interval 1s --rateest-ewmalog 2s",
		"! --rateest-name a --rateest-interval 1s --rateest-ewmalog 2s", "--rateest-name aaaaaaaaaaaaaaaaaaaa --rateest-interval 1s --rateest-ewmalog 2s"} {
		loads(t, k, true, list, filterInput("-j RATEEST "+r))
	}
	for _, r := range []string{
		"", "--rateest a", "--rateest a --rateest-lt", "--rateest a --rateest-lt --rateest-bps", "--rateest a --rateest-lt --rateest-bps 9", "--rateest a --rateest-lt --rateest-bps1 9",
		"--rateest1 a --rateest-lt --rateest-bps2 1.5kbit", "--rateest1 a --rateest-lt --rateest-bps2 1.5Kibit", "--rateest1 a --rateest-lt --rateest-bps2 3gibit", "--rateest1 a --rateest-lt --rateest-bps2 3tbit",
		"--rateest1 a --rateest-lt --rateest-bps2 7Bps", "--rateest1 a --rateest-lt --rateest-bps2 1Kibps", "--rateest1 a --rateest-lt --rateest-bps2 1gibps", "--rateest1 a --rateest-lt --rateest-bps2 1tibps",
		"--rateest1 a --rateest-lt --rateest-bps2 1k", "--rateest1 a --rateest-lt --rateest-bps2 1ibit", "--rateest1 a --rateest-lt --rateest-bps2 x", "--rateest1 a --rateest-lt --rateest-bps2 0x10", "--rateest1 a --rateest-lt --rateest-bps2 1e3", "--rateest1 a --rateest-lt --rateest-bps2 inf",
		"--rateest1 a --rateest-lt --rateest-bps2 34359738376", "--rateest1 a --rateest-lt --rateest-bps2 1e22", "--rateest1 a --rateest-lt --rateest-bps2 999999992", "--rateest1 a --rateest-lt --rateest-bps2 1gbit", "--rateest1 a --rateest-lt --rateest-bps2 1000504",
		"--rateest1 a --rateest-lt --rateest-pps2 010", "--rateest1 a --rateest-lt --rateest-pps2 4294967296", "--rateest1 a --rateest-lt --rateest-pps2 5x", "--rateest1 a --rateest-lt --rateest-pps 5 --rateest-bps 8bit", "--rateest1 a --rateest-lt --rateest-pps 5 --rateest-pps2 6",
		"--rateest1 a --rateest-lt --rateest-pps1 5 --rateest-pps2 6", "--rateest1 a ! --rateest-lt --rateest-gt --rateest-pps2 6", "--rateest1 a --rateest-lt --rateest-lt --rateest-pps2 6", "! --rateest1 a --rateest-eq --rateest-pps2 6", "--rateest1 a --rateest a --rateest-eq --rateest-pps2 6",
		"--rateest1 a --rateest-eq --rateest-pps2 6 --rateest2 b", "--rateest1 a --rateest-eq --rateest2 b --rateest-bps --rateest-pps", "--rateest-delta --rateest1 a ! --rateest-eq --rateest2 b --rateest-bps1 8bit --rateest-bps2 16bit --rateest-pps1 3 --rateest-pps2 4",
		"--rateest-delta --rateest1 a --rateest-eq --rateest-bps1 8bit --rateest-bps2 16bit --rateest-pps1 3", "! --rateest-delta --rateest1 a --rateest-eq --rateest-bps2 8bit", "--rateest-delta --rateest-delta --rateest1 a --rateest-eq --rateest-bps2 8bit",
		"--rateest2 a --rateest-eq --rateest-bps2 8bit", "--rateest2 c --rateest1 b --rateest-eq --rateest-bps", "--rateest1 a --rateest-pps2 6", "--rateest1 a --rateest-lt --rateest-bps 8 --rateest-bps2 16", "--rateest1 a --rateest-lt --rateest-bps ! --rateest-pps",
	} {
		loads(t, k, false, list, filterInput(a, b, "-m rateest "+r))
	}
	const asks = "-m rateest --rateest a --rateest-gt --rateest-pps 1"
	head := func(table string) string { return "*" + table + "\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n" }
	for _, text := range []string{
		filterInput(asks, a), filterInput(a, a, asks), filterInput(a, strings.Replace(a, "500ms", "5s", 1)), filterInput(strings.Replace(a, "-j", asks+" -j", 1)),
		head("filter") + "-A INPUT " + asks + "\nCOMMIT\n" + head("mangle") + "-A INPUT " + a + "\nCOMMIT\n",
		head("filter") + "-A INPUT " + a + "\nCOMMIT\n" + head("mangle") + "-A INPUT " + asks + "\nCOMMIT\n",
		head("mangle") + "-A INPUT " + a + "\nCOMMIT\n" + head("filter") + "-A INPUT " + asks + "\nCOMMIT\n",
		head("filter") + ":A - [0:0]\n:B - [0:0]\n-A B " + asks + "\n-A A " + a + "\nCOMMIT\n",
		head("filter") + ":B - [0:0]\n:A - [0:0]\n-A B " + asks + "\n-A A " + a + "\nCOMMIT\n",
		head("filter") + ":A - [0:0]\n:B - [0:0]\n-A A " + asks + "\n-A B " + a + "\nCOMMIT\n",
		head("filter") + "-A OUTPUT " + a + "\n-A INPUT " + asks + "\nCOMMIT\n",
		head("filter") + "-A OUTPUT " + asks + "\n-A INPUT " + a + "\nCOMMIT\n",
	} {
		loads(t, k, false, list, text)
	}
}

package linuxdiff

import (
	"testing"
	"time"

	"weir/internal/gen"
	"weir/internal/wire"
	"weir/nfacct"
	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

// accounts are objects of every kind, as nfacct lists them.
const accounts = "{ pkts = 00000000000000000000, bytes = 00000000000000000000 } = plain;\n" +
	"{ pkts = 00000000000000000000, bytes = 00000000000000000000, quota = 00000000000000000003, mode = packet, overquota = no } = three;\n" +
	"{ pkts = 00000000000000000000, bytes = 00000000000000000000, quota = 00000000000000000080, mode = byte, overquota = no } = eighty;\n" +
	"{ pkts = 00000000000000000000, bytes = 00000000000000000000, quota = 00000000000000000000, mode = byte, overquota = no } = none;\n"

// TestAccountsAsLinux compares the rules that load, what they match and what
// nfacct(8) lists then.
func TestAccountsAsLinux(t *testing.T) {
	k := extensionKernel(t)
	nf := func(args ...string) string {
		out, said, status, err := k.Program("", "nfacct", args...)
		if err != nil {
			t.Skip("nfacct: ", err)
		}
		if status != 0 {
			t.Fatal(said)
		}
		return out
	}
	nf("add", "plain")
	nf("add", "three", "packet", "3")
	nf("add", "eighty", "byte", "80")
	nf("add", "none", "byte", "0")
	nf("add", "a123456789012345678901234567890")
	list := std.List()
	var line int
	if list.Known.Accounts, line, _, _ = nfacct.Load([]byte(nf("list"))); line > 0 {
		t.Fatal("line", line)
	}
	for _, r := range []string{"", "--nfacct-name plain", "! --nfacct-name plain", "--nfacct-name plain --nfacct-name plain", `--nfacct-name ""`, "--nfacct-name absent",
		"--nfacct-name a123456789012345678901234567890", "--nfacct-name a123456789012345678901234567890x"} {
		loads(t, k, false, list, filterInput("-m nfacct "+r))
	}
	rules := "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A FORWARD -m nfacct --nfacct-name plain\n-A FORWARD -p udp -m nfacct --nfacct-name three\n" +
		"-A FORWARD -m nfacct --nfacct-name eighty\n-A FORWARD -m nfacct --nfacct-name none\n-A FORWARD -p tcp -m nfacct --nfacct-name plain\nCOMMIT\n"
	w, err := newSubject(&gen.Case{Machine: extensionMachine(), Rules4: rules, Accounts: accounts}, Remember)
	if err != nil {
		t.Fatal(err)
	}
	m := w.m
	if err := k.Reload(rules, ""); err != nil {
		t.Fatal(err)
	}
	src, dst := host(false, true, 10), host(false, false, 10)
	for i := range 6 {
		p := gen.Packet{In: "lan0", Data: wire.IP{Src: src, Dst: dst, Proto: 17, TTL: 64}.Packet(wire.Datagram(17, src, dst, 4000, 53, make([]byte, i)))}
		if _, err := k.Inject(p.In, p.Data); err != nil {
			t.Fatal(err)
		}
		w.run(p, time.Now().UnixNano())
	}
	nf("delete", "a123456789012345678901234567890")
	if got, want := string(m.Known().Accounts.Append(nil)), nf("list"); got != want {
		t.Errorf("weir lists\n%s\nLinux lists\n%s", got, want)
	}
	text, err := k.Save(false)
	if err != nil {
		t.Fatal(err)
	}
	if d := sameCounters("counters", text, string(save.Append(nil, m.Rules(packet.IPv4), true))); d != nil {
		t.Error(d)
	}
}

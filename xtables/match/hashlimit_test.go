package match_test

import (
	"testing"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/internal/exttest"
)

// The clock of hashlimit: what comes back in time, and when an address is
// forgotten.
func TestHashlimitInTime(t *testing.T) {
	const ms = int64(1e6)
	for _, c := range []struct {
		name, rule string
		at         []int64 // ms
		want       string
	}{
		{"a bucket starts full and refills one packet in its time", "--hashlimit-upto 2/sec --hashlimit-burst 2", []int64{0, 0, 0, 499, 501, 501, 5000, 5000, 5000}, "110010110"},
		{"above is the opposite", "--hashlimit-above 2/sec --hashlimit-burst 2", []int64{0, 0, 0, 504, 504}, "00101"},
		{"bytes refill continuously", "--hashlimit-upto 48b/s --hashlimit-htable-expire 60000", []int64{0, 0, 400, 700, 1600}, "10011"},
		{"a burst of bytes is whole seconds, and they do not come back", "--hashlimit-upto 48b/s --hashlimit-burst 96b", []int64{0, 0, 0, 0, 1000, 2000}, "111011"},
		{"rate-match judges a window by the one before", "--hashlimit-upto 2/sec --hashlimit-burst 1 --hashlimit-rate-match --hashlimit-htable-expire 60000", []int64{0, 1, 2, 3, 1004, 1005, 2100, 2101}, "11100011"},
		{"an expired bucket is used until the collector comes", "--hashlimit-upto 1/hour --hashlimit-burst 1 --hashlimit-htable-expire 100 --hashlimit-htable-gcinterval 1000", []int64{0, 500, 900, 999, 2500}, "10001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rule(t, packet.IPv4, "-m hashlimit --hashlimit-name n "+c.rule)
			p := exttest.Packet(t, packet.IPv4, packet.UDP, exttest.UDP(1, 2, make([]byte, 4))) // 32 bytes: 3 chunks
			got := ""
			for _, at := range c.at {
				tr, _ := exttest.Walk(p, hook.Forward)
				tr.Now = 1_700_000_000_000*ms + at*ms
				got += map[bool]string{true: "1", false: "0"}[all(r, tr)]
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestAKnownAddressCostsNoAllocation(t *testing.T) {
	for _, text := range []string{
		"-m hashlimit --hashlimit-upto 1/sec --hashlimit-name n --hashlimit-mode srcip,dstport",
		`-m bpf --bytecode "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0"`,
	} {
		r := rule(t, packet.IPv4, text)
		p := exttest.Packet(t, packet.IPv4, packet.UDP, exttest.UDP(1, 2, nil))
		p.Link.HasMAC = true
		tr, _ := exttest.Walk(p, hook.Forward)
		all(r, tr)
		if n := testing.AllocsPerRun(100, func() { all(r, tr) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// Tables have a name, and the rule that came first says what they are.
func TestHashlimitTablesAreShared(t *testing.T) {
	shared := &xtables.Shared{}
	bind := func(text string) (ask func() bool, err error) {
		r := rule(t, packet.IPv4, text)
		return func() bool {
			tr, _ := exttest.Walk(exttest.Packet(t, packet.IPv4, packet.UDP, exttest.UDP(1, 2, nil)), hook.Forward)
			return all(r, tr)
		}, r.Matches[0].(xtables.Binder).Bind(shared)
	}
	first, err := bind("-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 2 --hashlimit-name n")
	if err != nil {
		t.Fatal(err)
	}
	second, err := bind("-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 9 --hashlimit-name n")
	if err != nil {
		t.Fatal(err)
	}
	if !first() || !second() || first() || second() {
		t.Error("the burst of the first rule is not that of both")
	}
	if _, err := bind("-m hashlimit --hashlimit-upto 1/hour --hashlimit-name n --hashlimit-rate-match"); err == nil {
		t.Error("a rule with rate-match took a table without, which Linux refuses")
	}
	if _, err := bind("-m hashlimit --hashlimit-upto 1/hour --hashlimit-name other --hashlimit-rate-match"); err != nil {
		t.Error(err)
	}
}

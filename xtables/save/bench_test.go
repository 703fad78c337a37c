package save_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

// BenchmarkParse100000 loads a hundred thousand rules of a usual kind.
func BenchmarkParse100000(b *testing.B) {
	var s strings.Builder
	s.WriteString("*filter\n:FORWARD DROP [0:0]\n")
	for i := 0; i < 100; i++ {
		fmt.Fprintf(&s, ":CHAIN-%d - [0:0]\n", i)
	}
	for i := 0; i < 100_000; i++ {
		fmt.Fprintf(&s, "-A CHAIN-%d -s 10.%d.%d.0/24 -i eth%d -p tcp -m tcp --dport %d -m conntrack --ctstate NEW -m comment --comment \"rule %d\" -j ACCEPT\n",
			i%100, i>>8&255, i&255, i%8, 1+i%65535, i)
	}
	s.WriteString("COMMIT\n")
	src, list := []byte(s.String()), std.List()
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := save.Parse("rules", src, packet.IPv4, list); len(errs) > 0 {
			b.Fatal(errs[0])
		}
	}
}

package exttest

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"weir/packet"
	"weir/xtables"
)

// Golden compares with a file that iptables-legacy wrote: one rule a line,
//
//	4|6 TABLE CHAIN ARGS => REST
//
// where REST is "refused" or the rule as iptables-save printed it, and the
// arrow is =>! where iptables cannot read back what it printed.
func Golden(t *testing.T, list xtables.List, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	n := 0
	for sc.Scan() {
		line := sc.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		rule, want, ok := strings.Cut(line, " => ")
		oneWay := !ok
		if oneWay {
			rule, want, ok = strings.Cut(line, " =>! ")
		}
		w := strings.SplitN(rule, " ", 4)
		if !ok || len(w) != 4 {
			t.Fatalf("%s: bad line %q", file, line)
		}
		n++
		fam := packet.IPv4
		if w[0] == "6" {
			fam = packet.IPv6
		}
		t.Run(rule, func(t *testing.T) {
			r, err := Parse(list, fam, w[1], w[2], w[3])
			if err != nil {
				if want != "refused" {
					t.Errorf("refused: %v\nwant %s", err, want)
				}
				return
			}
			if r.Saved != want {
				t.Errorf("\nsaved %s\nwant  %s", r.Saved, want)
			}
			// What is printed must read back to the same.
			if oneWay {
				return
			}
			again, err := Parse(list, fam, w[1], w[2], r.Saved)
			if err != nil || again.Saved != r.Saved {
				t.Errorf("printed rule does not read back: %v", err)
			}
		})
	}
	if n == 0 {
		t.Errorf("%s holds no rule", file)
	}
}

package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ranged is a number that is taken at random, as want writes it.
var ranged = regexp.MustCompile(`\{(\d+)-(\d+)\}`)

// Range is how want writes a number that is taken at random from lo to hi.
func Range(lo, hi uint32) string { return fmt.Sprintf("{%d-%d}", lo, hi) }

// Same says whether what became of the packets is what is wanted. Where want
// has {1024-65535}, any number from the first to the last will do.
func Same(want, got string) bool {
	if want == got {
		return true
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !sameLine(a[i], b[i]) {
			return false
		}
	}
	return true
}

// SameLine is Same of one line.
func SameLine(want, got string) bool { return want == got || sameLine(want, got) }

func sameLine(want, got string) bool {
	for {
		at := ranged.FindStringSubmatchIndex(want)
		if at == nil {
			return want == got
		}
		rest, ok := strings.CutPrefix(got, want[:at[0]])
		if !ok {
			return false
		}
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		v, err := strconv.ParseUint(rest[:n], 10, 32)
		lo, _ := strconv.ParseUint(want[at[2]:at[3]], 10, 32)
		hi, _ := strconv.ParseUint(want[at[4]:at[5]], 10, 32)
		if err != nil || v < lo || v > hi {
			return false
		}
		want, got = want[at[1]:], rest[n:]
	}
}

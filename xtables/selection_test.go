package xtables

import "testing"

func TestSpansAreCutIntoBlocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		span  PortSpan
		max   int
		n     int
		exact bool
	}{
		{"one port", PortSpan{443, 443}, 4, 1, true},
		{"all ports", PortSpan{0, 65535}, 4, 1, true},
		{"an aligned block", PortSpan{1024, 2047}, 4, 1, true},
		{"from 1024 on", PortSpan{1024, 65535}, 32, 6, true},
		{"the most blocks that a span can have", PortSpan{1, 65534}, 32, 30, true},
		{"around a span that has too many", PortSpan{1, 65534}, 4, 1, false},
		{"two blocks around a span", PortSpan{1023, 1036}, 2, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, exact := cover([]PortSpan{c.span}, c.max)
			if len(list) != c.n || exact != c.exact {
				t.Fatalf("%d blocks, exact %v", len(list), exact)
			}
			inside := 0
			for p := range 65536 {
				hits := 0
				for _, b := range list {
					if uint16(p)&b.mask == b.val {
						hits++
					}
				}
				in := uint16(p) >= c.span.Lo && uint16(p) <= c.span.Hi
				if hits > 1 || in && hits != 1 || exact && !in && hits != 0 {
					t.Fatalf("port %d lies in %d blocks", p, hits)
				}
				inside += hits
			}
			if size := int(c.span.Hi) - int(c.span.Lo) + 1; inside > 4*size {
				t.Errorf("%d ports around %d", inside, size)
			}
		})
	}
}

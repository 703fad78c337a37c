package args

import (
	"strings"

	"weir/xtables"
	"weir/xtables/names"
)

// TOSMask is the argument of g as value[/mask] of eight bits, or a name of RFC
// 1349, which leaves the two precedence bits alone.
func TOSMask(g *xtables.Given) (value, mask uint8, err error) {
	v, m, has := strings.Cut(Text(g), "/")
	n, ok := Number(v, 0, 255)
	if !ok {
		for _, t := range names.TOSNames() {
			if strings.EqualFold(t.Name, Text(g)) {
				return t.Value, 0x3f, nil
			}
		}
		return 0, 0, Bad(g, "a number from 0 to 255 or a name of a type of service")
	}
	k := uint64(255)
	if has {
		if k, ok = Number(m, 0, 255); !ok {
			return 0, 0, Bad(g, "value/mask of numbers from 0 to 255")
		}
	}
	return uint8(n), uint8(k), nil
}

// DSCPClass is the argument of g as the name of a class of RFC 2474; letters
// behind the name are ignored, as iptables does.
func DSCPClass(g *xtables.Given) (uint8, error) {
	for _, c := range names.DSCPClasses() {
		if Loose(c.Name, Text(g)) {
			return c.Value, nil
		}
	}
	return 0, Bad(g, "a DSCP class (CS0 to CS7, BE, AF11 to AF43, EF)")
}

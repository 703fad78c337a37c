package exttest

import (
	"fmt"
	"strconv"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/names"
)

// split cuts a line into words as a shell does: double quotes with backslashes
// inside them.
func split(s string) (words []xtables.Word, err error) {
	for i := 0; i < len(s); {
		if s[i] == ' ' {
			i++
			continue
		}
		start := i
		var b strings.Builder
		quoted := false
		for i < len(s) && (quoted || s[i] != ' ') {
			switch {
			case s[i] == '"':
				quoted = !quoted
			case s[i] == '\\' && i+1 < len(s):
				i++
				b.WriteByte(s[i])
			default:
				b.WriteByte(s[i])
			}
			i++
		}
		if quoted {
			return nil, fmt.Errorf("open quote")
		}
		words = append(words, xtables.Word{Text: b.String(), Pos: xtables.Pos{Line: 1, Col: start + 1}})
	}
	return words, nil
}

func proto(s string) (uint8, error) {
	if n, err := strconv.ParseUint(s, 0, 8); err == nil {
		return uint8(n), nil
	}
	if n, ok := names.Protocol(strings.ToLower(s)); ok {
		return n, nil
	}
	return 0, fmt.Errorf("no protocol %s", s)
}

func findMatch(l xtables.List, f packet.Family, name string) *xtables.MatchExt {
	for i := range l.Matches {
		if l.Matches[i].Name == name && l.Matches[i].Families.Has(f) {
			return &l.Matches[i]
		}
	}
	return nil
}

func findTarget(l xtables.List, f packet.Family, name string) *xtables.TargetExt {
	for i := range l.Targets {
		if l.Targets[i].Name == name && l.Targets[i].Families.Has(f) {
			return &l.Targets[i]
		}
	}
	return nil
}

// implied is the match that -p alone loads.
func implied(l xtables.List, f packet.Family, p uint8) *xtables.MatchExt {
	names := map[uint8]string{packet.TCP: "tcp", packet.UDP: "udp", packet.ICMP: "icmp", packet.ICMPv6: "icmp6",
		packet.SCTP: "sctp", packet.DCCP: "dccp", packet.ESP: "esp", packet.AH: "ah", packet.MobilityH: "mh"}
	return findMatch(l, f, names[p])
}

// findOption finds a long option or its only abbreviation, in the newest
// extension that has it.
func findOption(blocks []*block, name string) (*block, *xtables.Option) {
	for i := len(blocks) - 1; i >= 0; i-- {
		opts := blocks[i].options()
		var found *xtables.Option
		for j := range opts {
			if opts[j].Name == name {
				return blocks[i], &opts[j]
			}
			if strings.HasPrefix(opts[j].Name, name) {
				if found != nil {
					found = nil
					break
				}
				found = &opts[j]
			}
		}
		if found != nil {
			return blocks[i], found
		}
	}
	return nil, nil
}

func points(chain string) hook.Mask {
	for p := hook.Prerouting; p < hook.NumPoints; p++ {
		if p.String() == chain {
			return hook.MaskOf(p)
		}
	}
	return 0
}

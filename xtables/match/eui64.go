package match

import (
	"weir/hook"
	"weir/xtables"
)

// EUI64 is -m eui64: the lower half of the IPv6 source address is made of the
// frame's source address (RFC 4291, appendix A).
func EUI64() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "eui64", Families: xtables.V6,
		Points: hook.MaskOf(hook.Prerouting, hook.Input, hook.Forward),
		Parse:  func(*xtables.Context, []xtables.Given) (xtables.Match, error) { return eui64Match{}, nil },
		Doc:    "yes",
	}
}

type eui64Match struct{}

func (eui64Match) Match(t *hook.Traversal) bool {
	l := &t.Pkt.Link
	if !l.HasMAC || l.Proto != 0x86dd {
		return false
	}
	want := [8]byte{l.Src[0] ^ 2, l.Src[1], l.Src[2], 0xff, 0xfe, l.Src[3], l.Src[4], l.Src[5]}
	return [8]byte(t.Pkt.Data[16:24]) == want
}

func (eui64Match) Explain(t *hook.Traversal) string {
	return "source is " + t.Pkt.Src().IP(t.Pkt.Family).String()
}

func (eui64Match) AppendArgs(b []byte) []byte { return b }

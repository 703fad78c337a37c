package conntrack

import (
	"strings"
	"testing"

	"weir/packet"
)

func TestTimeoutPoliciesAsText(t *testing.T) {
	const good = ".t1 = {\n\t.l3proto = 2,\n\t.l4proto = 6,\n\t.policy = {\n\t\t.SYN_SENT = 120,\n\t\t.ESTABLISHED = 0,\n\t},\n};\n# more\n\n.g = {\n\t.l3proto = 10,\n\t.l4proto = 255,\n\t.policy = {\n\t\t.TIMEOUT = 9,\n\t},\n};\n"
	list, line, _, msg := ParsePolicies([]byte(good))
	if line != 0 || len(list) != 2 || list[0].Values[TCPSynSent] != 120*second || list[0].Values[TCPEstablished] != 1 || list[0].Values[TCPClose] != 0 ||
		list[1].Values[0] != 9*second {
		t.Fatalf("line %d: %s: %+v", line, msg, list)
	}
	if !list[1].Fits(packet.IPv6, packet.ESP) || list[1].Fits(packet.IPv6, packet.GRE) || list[1].Fits(packet.IPv4, packet.ESP) || !list[0].Fits(packet.IPv4, packet.TCP) {
		t.Error("a policy fits what it is not for")
	}
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"another family":          {strings.Replace(good, "= 2", "= 3", 1), 2, "no such family"},
		"another protocol":        {strings.Replace(good, "= 6", "= 7", 1), 3, "no such family"},
		"a number that is none":   {strings.Replace(good, "120", "12o", 1), 5, "is not a number"},
		"a state of another":      {strings.Replace(good, "SYN_SENT", "REPLIED", 1), 5, "not a timeout of this protocol"},
		"no end":                  {strings.TrimSuffix(good, "};\n"), 17, "has no end"},
		"a policy before its own": {strings.Replace(good, "\t.l4proto = 6,\n", "", 1), 3, "have to stand before"},
		"twice":                   {good + good, 25, "two policies t1"},
		"a command of nfct":       {"nfct add timeout t1 inet tcp close 5\n", 1, "not what"},
	} {
		if _, line, col, msg := ParsePolicies([]byte(c.text)); line != c.line || col < 1 || !strings.Contains(msg, c.want) {
			t.Errorf("%s: %d:%d: %s", name, line, col, msg)
		}
	}
}

func FuzzPolicies(f *testing.F) {
	f.Add([]byte(".t1 = {\n\t.l3proto = 2,\n\t.l4proto = 6,\n\t.policy = {\n\t\t.SYN_SENT = 120,\n\t},\n};\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, line, col, msg := ParsePolicies(b); (line > 0) != (msg != "") || line > 0 && col < 1 {
			t.Errorf("%d:%d: %s", line, col, msg)
		}
	})
}

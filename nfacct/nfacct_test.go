package nfacct

import (
	"strings"
	"testing"
)

// listed is what nfacct 1.0.2 printed on Linux 6.18.
const listed = `{ pkts = 00000000000000000012, bytes = 00000000000000001008 } = foo;
{ pkts = 00000000000000000012, bytes = 00000000000000001008, quota = 00000000000000000005, mode = packet, overquota = yes } = barq;
{ pkts = 00000000000000000000, bytes = 00000000000000000000, quota = 18446744073709551615, mode = byte, overquota = no } = a b;
`

func TestListsAsNfacct(t *testing.T) {
	s, line, col, msg := Load([]byte("# saved\n\n" + listed))
	if line != 0 {
		t.Fatal(line, col, msg)
	}
	if got := string(s.Append(nil)); got != listed {
		t.Errorf("printed\n%s", got)
	}
}

func TestRefusesOtherText(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line, col  int
	}{
		{"another form", "foo", 1, 1},
		{"no semicolon", strings.Replace(listed, ";", "", 1), 1, 1},
		{"no number", "{ pkts = x, bytes = 1 } = a;", 1, 3},
		{"a number of more than 64 bits", "{ pkts = 1, bytes = 18446744073709551616 } = a;", 1, 13},
		{"a mode that is not there", "{ pkts = 1, bytes = 1, quota = 1, mode = bits, overquota = no } = a;", 1, 35},
		{"a name without bytes", "{ pkts = 1, bytes = 1 } = ;", 1, 27},
		{"two of one name", "{ pkts = 1, bytes = 1 } = a;\n{ pkts = 1, bytes = 1 } = a;", 2, 27},
		{"a quota without its mode", "{ pkts = 1, bytes = 1, quota = 1 } = a;", 1, 1},
	} {
		if s, line, col, msg := Load([]byte(c.text)); s != nil || line != c.line || col != c.col || msg == "" {
			t.Errorf("%s: %d:%d %q", c.name, line, col, msg)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(listed)
	f.Fuzz(func(t *testing.T, text string) {
		s, line, _, _ := Load([]byte(text))
		if line != 0 {
			return
		}
		once := s.Append(nil)
		again, line, col, msg := Load(once)
		if line != 0 || string(again.Append(nil)) != string(once) {
			t.Errorf("%q: %d:%d %s", once, line, col, msg)
		}
	})
}

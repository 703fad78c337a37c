package verbs_test

import (
	"strings"
	"testing"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/conntrack/verbs"
)

type noRand struct{}

func (noRand) Uint32() uint32                              { return 0 }
func (noRand) PortOffset(_, _ uint32, _ bool) (off uint32) { return 0 }

const now = int64(1_767_225_600_000_000_000)

func machine() verbs.Machine { return verbs.Machine{Table: conntrack.New(conntrack.DefaultConfig())} }

func TestAWrongStateSaysWhere(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line, col  int
		msg        string
	}{
		{"an option that there is not", "# saved\n\n-A -t 5 -k 7", 3, 9, "unknown option `-k'"},
		{"an address that is none", "-A -t 5 -s 192.0.2.300 -d 192.0.2.2 -p 50", 1, 12, "Invalid IP address `192.0.2.300'"},
		{"a state of another protocol", "-A -t 5 -s 192.0.2.1 -d 192.0.2.2 -p tcp --sport 1 --dport 2 --state OPEN", 1, 70, "unknown TCP state `OPEN'"},
		{"a command that makes nothing", "  -L", 1, 3, "only -A and -I make up a saved state"},
		{"an expectation", "-I expect -s 192.0.2.1 -d 192.0.2.2 -p 50 -t 5 --tuple-src 192.0.2.1 --tuple-dst 192.0.2.2 --mask-src 192.0.2.1 --mask-dst 192.0.2.2", 1, 1, "only -A and -I make up a saved state"},
		{"a connection twice", "-A -t 5 -s 192.0.2.1 -d 192.0.2.2 -p 50\n-A -t 6 -s 192.0.2.1 -d 192.0.2.2 -p 50", 2, 1, "File exists"},
		{"a quotation mark", "-A \"-t 5", 1, 4, "a quotation mark is not closed"},
		{"an argument that is missing", "-A -t", 1, 4, "option `-t' requires an argument"},
		{"a helper that is not there", "-A -t 5 -s 192.0.2.1 -d 192.0.2.2 -p tcp --sport 1 --dport 2 --state NONE --helper ftp", 1, 1, "Operation not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := machine()
			errs := verbs.LoadState(m, []byte(c.text), nil, now)
			if len(errs) != 1 || errs[0].Line != c.line || errs[0].Col != c.col || errs[0].Msg != c.msg {
				for _, e := range errs {
					t.Errorf("%d:%d: %s", e.Line, e.Col, e.Msg)
				}
				t.Errorf("want %d:%d: %s", c.line, c.col, c.msg)
			}
			if err := m.Table.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStateComesBackAsItWas(t *testing.T) {
	text := strings.TrimPrefix(`
-A -t 100 -u UNSET -s 192.0.2.1 -d 198.51.100.1 -r 198.51.100.1 -q 192.0.2.1 -p udp --sport 1 --dport 2 --reply-port-src 2 --reply-port-dst 1 -m 7
-A -t 100 -u EXPECTED,SEEN_REPLY,ASSURED -w 3 -s 192.0.2.1 -d 198.51.100.1 -r 198.51.100.1 -q 192.0.2.1 -p tcp --sport 1 --dport 2 --reply-port-src 2 --reply-port-dst 1 --state ESTABLISHED --label-add one,99
-A -t 100 -u FIXED_TIMEOUT --reply-zone 4 -s 192.0.2.1 -d 198.51.100.1 -r 198.51.100.1 -q 192.0.2.1 -p 50
-A -t 100 -u UNSET -s 192.0.2.1 -d 198.51.100.1 -g 203.0.113.1:80 -n 203.0.113.2:4000 -p sctp --sport 1 --dport 2 --reply-port-src 80 --reply-port-dst 4000 --state HEARTBEAT_SENT --orig-vtag 5 --reply-vtag 6
-A -t 100 -u UNSET -s 2001:db8::1 -d 2001:db8::2 -g [2001:db8::3]:80 -q 2001:db8::1 -p udp --sport 1 --dport 2 --reply-port-src 80 --reply-port-dst 1
-A -t 100 -u UNSET -s 2001:db8::1 -d 2001:db8::2 -r 2001:db8::2 -q 2001:db8::1 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 9
`, "\n")
	names := show.ParseLabels([]byte("1 one\n"))
	m := machine()
	m.Rand = noRand{}
	for _, e := range verbs.LoadState(m, []byte(text), names, now) {
		t.Errorf("%d:%d: %s", e.Line, e.Col, e.Msg)
	}
	if got := string(verbs.AppendState(nil, m.Table, names, now)); got != text {
		t.Errorf("got\n%swant\n%s", got, text)
	}
	if err := m.Table.Check(); err != nil {
		t.Error(err)
	}
}

func FuzzCommands(f *testing.F) {
	f.Add("-L -p tcp --sport 5 -o xml,id -s 192.0.2.1/24 -n 192.0.2.9:80")
	f.Add("-I -s 2001:db8::1 -d 2001:db8::2 -p sctp --state CLOSED --orig-vtag 1 --reply-vtag 2 --sport 1 --dport 2 -t 9 -g [2001:db8::9]:7")
	f.Add("-D\n-U -m 5/7 -u !ASSURED,UNREPLIED --label-del one\n-A \"-t\" 5 -p 50 -s 1.2.3.4 -d 5.6.7.8 -w 0x5")
	f.Fuzz(func(t *testing.T, text string) {
		m := machine()
		m.Rand = noRand{}
		names := show.ParseLabels([]byte("1 one\n"))
		verbs.LoadState(m, []byte("-A -t 9 -s 192.0.2.1 -d 192.0.2.2 -p udp --sport 1 --dport 2\n"+text), names, now)
		for _, line := range strings.Split(text, "\n") {
			c, bad := verbs.Parse(strings.Fields(line), names)
			if bad != nil {
				if len(bad.Output()) == 0 || bad.Status == 0 {
					t.Fatal("a failure that says nothing")
				}
				continue
			}
			c.Run(m, now)
			m.Table.Reap()
		}
		if err := m.Table.Check(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		state := verbs.AppendState(nil, m.Table, names, now)
		other := machine()
		other.Rand = noRand{}
		if errs := verbs.LoadState(other, state, names, now); len(errs) > 0 {
			t.Fatalf("%q leaves\n%sof which line %d: %s", text, state, errs[0].Line, errs[0].Msg)
		}
	})
}

package engine

import (
	"fmt"
	"slices"
	"testing"

	"weir/packet"
	"weir/xtables"
)

// TestIdleTimersTell lets timers run out, in order and once, and start over.
func TestIdleTimersTell(t *testing.T) {
	var told []string
	rules := "*mangle\n-A FORWARD -p udp --dport 1 -j IDLETIMER --timeout 5 --label five\n" +
		"-A FORWARD -p udp --dport 2 -j IDLETIMER --timeout 2 --label two --alarm\nCOMMIT\n"
	m := gateway(t, rules)
	m.idle = func(i *xtables.IdleTimer, at int64) { told = append(told, fmt.Sprint(i.Label, " ", (at-1e18)/1e9)) }
	lan := m.Ifaces().Name("lan0")
	at := func(s int64) int64 { return 1e18 + s*1e9 }
	send := func(port uint16, s int64) Result {
		return m.Receive(lan, packet.Link{}, ip4("192.0.2.10", "203.0.113.9", packet.UDP, udp(1, port, 36)), at(s))
	}
	want := func(list ...string) {
		t.Helper()
		if !slices.Equal(told, list) {
			t.Errorf("told %q, want %q", told, list)
		}
	}
	m.Tick(at(0)) // loaded: both run
	left := func(s int64) (list []int64) {
		for _, i := range m.IdleTimers() {
			list = append(list, i.Left(at(s))/1e9)
		}
		return list
	}
	if l := left(1); !slices.Equal(l, []int64{4, 1}) {
		t.Errorf("left %v", l)
	}
	send(1, 1) // five runs until 6
	want()
	if r := send(2, 3); len(r.Logs) != 1 || r.Logs[0].Text != "two is idle" { // and runs again until 5
		t.Errorf("logs %+v", r.Logs)
	}
	want("two 2")
	m.Tick(at(5))
	want("two 2", "two 5")
	m.Tick(at(20))
	want("two 2", "two 5", "five 6")
	m.Tick(at(40))
	want("two 2", "two 5", "five 6")
	if l := left(40); !slices.Equal(l, []int64{0, 0}) {
		t.Errorf("left %v", l)
	}
	rs, errs := ParseRules(packet.IPv4, Text{"r", []byte("*mangle\nCOMMIT\n")})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if errs := m.SetRules(rs); len(errs) > 0 || len(m.IdleTimers()) != 0 {
		t.Errorf("%v, %d timers without rules", errs, len(m.IdleTimers()))
	}
}

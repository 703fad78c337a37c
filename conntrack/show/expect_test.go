package show_test

import (
	"testing"

	"weir/conntrack"
	"weir/conntrack/show"
	"weir/packet"
)

// TestExpectations compares with the lines that conntrack-tools 1.4.7 and Linux
// 6.18.44 print for the same expectations.
func TestExpectations(t *testing.T) {
	m := newMachine(t, nil)
	m.tb.SetHelpers([]conntrack.Helper{
		{Name: "ftp", Family: packet.IPv4, Proto: packet.TCP, Classes: []conntrack.ExpectPolicy{{Max: 1, Timeout: 300 * second}}},
		{Name: "sip", Family: packet.IPv4, Proto: packet.UDP, Classes: []conntrack.ExpectPolicy{{Name: "signalling", Max: 1, Timeout: 180 * second}}},
	})
	var events []string
	m.tb.OnExpect(func(e conntrack.ExpectEvent) {
		events = append(events, string(show.AppendExpectEvent(nil, &e, 0)))
	})
	full := packet.Addr{255, 255, 255, 255}
	for _, x := range []struct {
		name   string
		helper conntrack.HelperID
		sport  uint16
		flags  conntrack.ExpectFlags
		list   string
		proc   string
	}{
		{"ftp", 1, 20000, 0,
			"300 proto=6 src=198.51.100.7 dst=192.0.2.1 sport=0 dport=1799 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=192.0.2.1 master-dst=198.51.100.7 sport=20000 dport=21 class=0 helper=ftp",
			"300 l3proto = 2 proto=6 src=198.51.100.7 dst=192.0.2.1 sport=0 dport=1799 ftp"},
		{"sip", 2, 20001, conntrack.ExpectPermanent | conntrack.ExpectInactive,
			"180 proto=6 src=198.51.100.7 dst=192.0.2.1 sport=0 dport=1799 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=192.0.2.1 master-dst=198.51.100.7 sport=20001 dport=21 PERMANENT,INACTIVE class=0 helper=sip",
			"180 l3proto = 2 proto=6 src=198.51.100.7 dst=192.0.2.1 sport=0 dport=1799 PERMANENT,INACTIVE sip/signalling"},
	} {
		t.Run(x.name, func(t *testing.T) {
			events = nil
			syn := []byte{byte(x.sport >> 8), byte(x.sport), 0, 21, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0}
			m.send(client, server, packet.TCP, syn, &conntrack.Template{HelperID: x.helper}, 0)
			var master *conntrack.Conn
			m.tb.Each(m.now, func(c *conntrack.Conn) bool { master = c; return true })
			if master == nil {
				t.Fatal("no connection")
			}
			e := conntrack.Expect{Master: master.ID(), SrcMask: full, Flags: x.flags}
			e.Tuple = conntrack.Tuple{L3: packet.IPv4, Proto: packet.TCP, Src: master.Tuple[0].Dst, Dst: master.Tuple[0].Src, DstL4: 1799}
			got, res := m.tb.Expect(&e, false, m.now)
			if res != conntrack.ExpectOK {
				t.Fatal(res)
			}
			if s := string(show.AppendExpect(nil, m.tb, got, m.now)); s != x.list {
				t.Errorf("list\n %s\nwant\n %s", s, x.list)
			}
			if s := string(show.AppendProcExpect(nil, m.tb, got, m.now)); s != x.proc {
				t.Errorf("proc\n %s\nwant\n %s", s, x.proc)
			}
			m.tb.Kill(master, m.now)
			if m.tb.Expects() != 0 {
				t.Error("the expectation outlives its master")
			}
			if len(events) != 2 || events[0] != "    [NEW] "+x.list || events[1] != "[DESTROY] "+x.list {
				t.Errorf("events %q", events)
			}
		})
	}
}

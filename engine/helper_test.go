package engine

import (
	"encoding/binary"
	"strings"
	"testing"

	"weir/packet"
	"weir/trace"
)

const helperRules = `*raw
-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp
COMMIT
` + gatewayRules

// segment is a TCP segment with data and a window.
func segment(sport, dport uint16, seq, ack uint32, flags uint8, data string) []byte {
	b := make([]byte, 20, 20+len(data))
	be := binary.BigEndian
	be.PutUint16(b, sport)
	be.PutUint16(b[2:], dport)
	be.PutUint32(b[4:], seq)
	be.PutUint32(b[8:], ack)
	b[12], b[13] = 5<<4, flags
	be.PutUint16(b[14:], 60000)
	return append(b, data...)
}

// helperSteps is what helpers said in the walk of a packet.
func helperSteps(r Result) string {
	var list []string
	for _, s := range r.Steps {
		if s.Kind == trace.KindHelper {
			list = append(list, s.Text)
		}
	}
	return strings.Join(list, "; ")
}

// TestTracesTellOfHelpers sends a PORT command through a masquerading machine:
// the trace says what is expected, and later which packet met it.
func TestTracesTellOfHelpers(t *testing.T) {
	m := gateway(t, helperRules)
	m.Trace(true)
	lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
	const client, server, self = "192.0.2.10", "198.51.100.7", "203.0.113.2"
	const syn, ack = packet.TCPSyn, packet.TCPAck
	now := int64(1_767_225_600) * second
	send := func(out bool, b []byte) Result {
		now += second / 10
		if out {
			return m.Receive(lan, packet.Link{}, ip4(client, server, packet.TCP, b), now)
		}
		return m.Receive(wan, packet.Link{}, ip4(server, self, packet.TCP, b), now)
	}
	send(true, segment(40000, 21, 100, 0, syn, ""))
	send(false, segment(21, 40000, 900, 101, syn|ack, ""))
	send(true, segment(40000, 21, 101, 901, ack, "NOOP\r\n"))
	r := send(true, segment(40000, 21, 107, 901, ack, "PORT 192,0,2,10,7,7\r\n"))
	want := `ftp: expects tcp from 198.51.100.7 to 203.0.113.2:1799; ftp: "192,0,2,10,7,7" becomes "203,0,113,2,7,7"`
	if got := helperSteps(r); got != want {
		t.Errorf("PORT:\n %s\nwant\n %s", got, want)
	}
	if r.Verdict != Forwarded || !strings.Contains(string(r.Out[0].Data), "PORT 203,0,113,2,7,7\r\n") {
		t.Fatalf("%s %v", r.Verdict, r.Out)
	}
	// The acknowledgement of the longer command comes back as the client knows
	// it.
	r = send(false, segment(21, 40000, 901, 129, ack, ""))
	if b := r.Out[0].Data; binary.BigEndian.Uint32(b[28:]) != 128 {
		t.Errorf("acknowledges %d, want 128", binary.BigEndian.Uint32(b[28:]))
	}
	r = send(false, segment(20, 1799, 5000, 0, syn, ""))
	if got, want := helperSteps(r), "met what the ftp helper of #1 expects: tcp from 198.51.100.7 to 203.0.113.2:1799"; got != want {
		t.Errorf("data connection:\n %s\nwant\n %s", got, want)
	}
	if r.Verdict != Forwarded || m.Conntrack().Master(r.CT.Conn) == 0 || r.Out[0].Dev != lan {
		t.Errorf("the data connection: %s", r.Verdict)
	}
	r = send(true, segment(40000, 21, 128, 901, ack, "POR"))
	if r.Verdict != Dropped || r.Reason.String() != "helper" || helperSteps(r) != "ftp: partial matching of `PORT'" {
		t.Errorf("half a command: %s %s, %q", r.Verdict, r.Reason, helperSteps(r))
	}
}

// TestMasterWaitsForItsChildren deletes the control connection: what it expects
// goes, the data connection stays and knows its master.
func TestMasterWaitsForItsChildren(t *testing.T) {
	m := gateway(t, helperRules)
	lan, wan := m.Ifaces().Name("lan0"), m.Ifaces().Name("wan0")
	const client, server, self = "192.0.2.10", "198.51.100.7", "203.0.113.2"
	const syn, ack = packet.TCPSyn, packet.TCPAck
	now := int64(1_767_225_600) * second
	in := func(b []byte) Result { return m.Receive(wan, packet.Link{}, ip4(server, self, packet.TCP, b), now) }
	out := func(b []byte) Result { return m.Receive(lan, packet.Link{}, ip4(client, server, packet.TCP, b), now) }
	out(segment(40000, 21, 100, 0, syn, ""))
	in(segment(21, 40000, 900, 101, syn|ack, ""))
	out(segment(40000, 21, 101, 901, ack, "NOOP\r\n"))
	out(segment(40000, 21, 107, 901, ack, "PORT 192,0,2,10,7,7\r\n"))
	child := in(segment(20, 1799, 5000, 0, syn, "")).CT.Conn
	out(segment(40000, 21, 128, 901, ack, "PORT 192,0,2,10,7,8\r\n"))
	tb := m.Conntrack()
	master := tb.ByID(tb.Master(child))
	if master == nil || tb.Expects() != 1 || tb.Len() != 2 || tb.Children(master) != 1 {
		t.Fatalf("%d expected, %d connections", tb.Expects(), tb.Len())
	}
	tb.Kill(master, now)
	tb.Reap()
	if tb.Expects() != 0 || tb.Len() != 2 || tb.ByID(tb.Master(child)) != master {
		t.Errorf("after the master's end: %d expected, %d connections", tb.Expects(), tb.Len())
	}
	tb.Kill(child, now)
	tb.Reap()
	if tb.Len() != 0 {
		t.Errorf("%d connections are left", tb.Len())
	}
}

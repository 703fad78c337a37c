package osf

import (
	"strings"
	"testing"

	"weir/packet"
)

func TestParse(t *testing.T) {
	list, line, msg := Parse([]byte("# a comment\n\nS4:64:1:60:M*,S,T,N,W7:Linux:2.6:new:text\r\nS4:64:1:60:M*,S,T,N,W7:Linux:2.6:new:text\n" +
		"%8192: 64:0:44:?,M*, E:@" + strings.Repeat("g", 40) + ":1::\n"))
	if line != 0 || len(list.fingers) != 2 {
		t.Fatalf("line %d: %s; %+v", line, msg, list)
	}
	if f := list.fingers[0]; f != (Finger{"Linux", "2.6", "new", ofMSS, 4, 64, true, 60, "\x02\x04\x08\x01\x03", 20}) {
		t.Errorf("%+v", f)
	}
	if f := list.fingers[1]; f != (Finger{strings.Repeat("g", 31), "1", "", divides, 8192, 64, false, 44, "\x02\x00", 5}) {
		t.Errorf("%+v", f)
	}
	for text, want := range map[string]int{"#\n1:2:3\n": 2, "1:2:3:4:5:6:7:8:9:10": 1, "1:2:3:4:" + strings.Repeat("N,", 41) + ":6:7:8:9": 1} {
		if _, line, msg := Parse([]byte(text)); line != want || msg == "" {
			t.Errorf("%q: line %d, %s", text, line, msg)
		}
	}
}

// FuzzMatch compares any packet with any fingerprints.
func FuzzMatch(f *testing.F) {
	syn := append([]byte{0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}, 0, 1, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 2, 1, 0, 0, 0, 0, 0, 2, 4, 5, 180)
	f.Add([]byte("%0:64:0:44:M*:a:b:c:d\nS0:64:0:44:M*,E:a:b:c:d"), syn)
	f.Fuzz(func(t *testing.T, text, data []byte) {
		list, _, _ := Parse(text)
		var p packet.Packet
		var s Segment
		if packet.Parse(data, &p) != nil || p.Family != packet.IPv4 || !s.Read(&p) {
			return
		}
		for n := list.Next(&s, 0, nil, Any); n >= 0; n = list.Next(&s, n+1, nil, Any) {
			list.At(n)
		}
	})
}

package conntrack

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"weir/packet"
)

// TestSCTPAgreesWithLinux replays what Linux 6.18 did with random chunks. A
// packet line has
//
//	side SCTP-packet | class state | timeout set afterwards
//
// where state is - without an entry, else: SCTP state, seconds left,
// SEEN_REPLY and ASSURED, whether the sides are swapped, both verification
// tags, packets counted in both directions. Checksums are computed here.
func TestSCTPAgreesWithLinux(t *testing.T) {
	name := "testdata/sctp-6.18.txt.gz"
	if other := os.Getenv("WEIR_SCTP_VECTORS"); other != "" {
		name = other
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var b *box
	var story []string
	bad, packets, broken := 0, 0, false
	in := bufio.NewScanner(z)
	for in.Scan() {
		line := in.Text()
		if line == "scenario" {
			b = newBox(t, func(c *Config) { c.Acct = true })
			story, broken = nil, false
			continue
		}
		story = append(story, line)
		if broken {
			continue
		}
		packets++
		if diff := replaySCTP(b, line); diff != "" {
			broken = true
			if bad++; bad <= 5 {
				t.Errorf("%s\n%s", strings.Join(story, "\n"), diff)
			}
		}
	}
	if err := in.Err(); err != nil || packets < 1000 {
		t.Fatalf("%d packets, %v", packets, err)
	}
	if bad > 0 {
		t.Errorf("%d scenarios differ, %d packets", bad, packets)
	}
}

func replaySCTP(b *box, line string) string {
	parts := strings.Split(line, " | ")
	side, data, _ := strings.Cut(parts[0], " ")
	l4, err := hex.DecodeString(data)
	if err != nil {
		return err.Error()
	}
	src, dst := client4, server4
	if side == "1" {
		src, dst = server4, client4
	}
	class := b.pass(ip(b, src, dst, packet.SCTP, l4))[:1]
	got, c := class+" -", (*Conn)(nil)
	b.tb.Each(b.now, func(x *Conn) bool {
		c = x
		s, swapped, ct := x.SCTP(), 0, b.tb.Counters(x)
		if x.Tuple[Original].Src != addr(client4) {
			swapped = 1
		}
		got = fmt.Sprintf("%s %d %d %d %d %d %d %d %d", class, s.State, x.Expires(b.now)/second,
			x.Status&(SeenReply|Assured), swapped, s.Tag[0], s.Tag[1], ct[0].Packets, ct[1].Packets)
		return true
	})
	if want := parts[1]; got != want && !closeEnough(got, want) {
		return fmt.Sprintf("got  %s (%s)\nwant %s", got, b.tb.Why(), want)
	}
	if parts[2] != "-" && c != nil {
		var left int64
		fmt.Sscan(parts[2], &left)
		b.tb.setTimeout(c, left*second, b.now)
	}
	return ""
}

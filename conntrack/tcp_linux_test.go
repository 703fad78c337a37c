package conntrack

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestTCPAgreesWithLinux replays what Linux 6.18 did with random segments. A
// scenario line has the sysctls tcp_be_liberal, tcp_loose and
// tcp_ignore_invalid_rst; a packet line has
//
//	side flags seq ack window length options | class state | timeout set afterwards
//
// where state is - without an entry, else: TCP state, seconds left, SEEN_REPLY
// and ASSURED, whether the sides are swapped, 0, both window scales, both
// flags, packets counted in both directions.
func TestTCPAgreesWithLinux(t *testing.T) {
	name := "testdata/tcp-6.18.txt.gz"
	if other := os.Getenv("WEIR_TCP_VECTORS"); other != "" {
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
	bad, packets := 0, 0
	broken := true
	in := bufio.NewScanner(z)
	for in.Scan() {
		line := in.Text()
		if strings.HasPrefix(line, "scenario") {
			var liberal, loose, anyRST int
			fmt.Sscanf(line, "scenario %d %d %d", &liberal, &loose, &anyRST)
			b = newBox(t, func(c *Config) {
				c.TCPBeLiberal, c.TCPLoose, c.TCPIgnoreInvalidRST = liberal != 0, loose != 0, anyRST != 0
				c.Acct = true
			})
			broken, story = false, nil
		}
		story = append(story, line)
		if broken || strings.HasPrefix(line, "scenario") {
			continue
		}
		packets++
		if diff := replayLinux(b, line); diff != "" {
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

func replayLinux(b *box, line string) string {
	parts := strings.Split(line, " | ")
	fields := strings.Fields(parts[0])
	var side, win, n int
	var s seg
	if _, err := fmt.Sscanf(strings.Join(append(fields[:1:1], fields[2:6]...), " "), "%d %d %d %d %d", &side, &s.seq, &s.ack, &win, &n); err != nil {
		return err.Error()
	}
	s.flags, s.n, s.win = fields[1], n, win
	if win == 0 {
		s.win = -1
	}
	if fields[6] != "-" {
		s.opts, _ = hex.DecodeString(fields[6])
	}
	src, dst, sp, dp := client4, server4, uint16(1000), uint16(80)
	if side == 1 {
		src, dst, sp, dp = server4, client4, 80, 1000
	}
	p := tcp(b, src, dst, sp, dp, s)
	class := b.pass(p)[:1]
	got, c := class+" -", (*Conn)(nil)
	b.tb.Each(b.now, func(x *Conn) bool {
		c = x
		st, swapped := x.TCP(), 0
		if x.Tuple[Original].Src != addr(client4) {
			swapped = 1
		}
		ct := b.tb.Counters(x)
		got = fmt.Sprintf("%s %d %d %d %d 0 %d %d %x %x %d %d", class, st.State, x.Expires(b.now)/second,
			x.Status&(SeenReply|Assured), swapped, st.Side[0].Scale, st.Side[1].Scale, uint8(st.Side[0].Flags), uint8(st.Side[1].Flags),
			ct[0].Packets, ct[1].Packets)
		return true
	})
	want := parts[1]
	if got != want && !closeEnough(got, want) {
		return fmt.Sprintf("got %s (%s)\nwant %s", got, b.tb.Why(), want)
	}
	if parts[2] != "-" && c != nil {
		var left int64
		fmt.Sscan(parts[2], &left)
		b.tb.setTimeout(c, left*second, b.now)
	}
	return ""
}

// closeEnough lets the timeout be a second less, since Linux's clock ran.
func closeEnough(got, want string) bool {
	g, w := strings.Fields(got), strings.Fields(want)
	if len(g) != len(w) || len(g) < 3 {
		return false
	}
	var gl, wl int
	fmt.Sscan(g[2], &gl)
	fmt.Sscan(w[2], &wl)
	g[2], w[2] = "", ""
	return strings.Join(g, " ") == strings.Join(w, " ") && gl-wl >= 0 && gl-wl <= 1
}

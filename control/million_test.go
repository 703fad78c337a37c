package control

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"weir/engine"
	"weir/packet"
	"weir/scenario/line"
)

// crowd makes the machine track n connections of different ports and peers.
func (r *rig) crowd(n int) {
	r.t.Helper()
	p, err := line.Parse("lan0 udp 192.0.2.11:5000 > 198.51.100.1:53 len=10")
	if err != nil {
		r.t.Fatal(err)
	}
	r.target.Do(func(m *engine.Machine) {
		m.Conntrack().Config().Max = n
		lan := m.Ifaces().Name("lan0")
		d := make([]byte, len(p.Data[0]))
		for i := range n {
			copy(d, p.Data[0])
			d[19] = byte(1 + i/50_000)
			binary.BigEndian.PutUint16(d[20:], uint16(1024+i%50_000))
			binary.BigEndian.PutUint16(d[10:], 0) // the header's sum
			sum := uint32(0)
			for k := 0; k < 20; k += 2 {
				sum += uint32(binary.BigEndian.Uint16(d[k:]))
			}
			sum = sum>>16 + sum&0xffff
			binary.BigEndian.PutUint16(d[10:], ^uint16(sum+sum>>16))
			binary.BigEndian.PutUint16(d[26:], 0) // no sum of UDP
			m.Receive(lan, packet.Link{}, d, r.now.Load())
		}
		if got := m.Conntrack().Len(); got != n {
			r.t.Fatalf("%d connections, want %d", got, n)
		}
	})
}

// TestListsOfManyConnections reads a big table in the ways that there are.
// WEIR_MANY is how many connections there are, instead of a few; the times
// that it then prints are for people.
func TestListsOfManyConnections(t *testing.T) {
	n := 20_000
	if os.Getenv("WEIR_MANY") != "" {
		n = 1_000_000
	}
	r := newRig(t, Options{})
	r.crowd(n)
	for _, c := range []struct {
		query string
		rows  int
	}{
		{"sort=-bytes&limit=50", 50}, {"sort=src&limit=50&offset=10000", 50}, {"sort=timeout&limit=50&sport=1030", -1},
		{"format=text", n}, {"protocol=tcp", 0}, {"conntrack -L", n}, {"nat", 1}, {"top", 1},
	} {
		stop, worst := make(chan struct{}), make(chan time.Duration)
		go func() {
			w := time.Duration(0)
			for {
				select {
				case <-stop:
					worst <- w
					return
				case <-time.After(time.Millisecond):
					begun := time.Now()
					r.target.Do(func(*engine.Machine) {})
					w = max(w, time.Since(begun))
				}
			}
		}()
		begun := time.Now()
		rows := 0
		q, _ := url.ParseQuery(c.query)
		switch {
		case c.query == "nat":
			if u := r.s.PortUse(netip.Addr{}, 20); u.Connections == n {
				rows = 1
			}
		case c.query == "top":
			if l := r.s.Top("src", 20).List; len(l) == 1 && l[0].Connections == n {
				rows = 1
			}
		case c.query == "conntrack -L":
			a, err := r.s.Run(Call{Program: "conntrack", Args: []string{"-L"}})
			if err != nil || a.Status != 0 {
				t.Errorf("conntrack -L: %v %d", err, a.Status)
			}
			var lines counter
			lines.Write(a.Stdout)
			rows = int(lines)
			if first, _, _ := strings.Cut(string(a.Stdout), "\n"); !strings.Contains(first, " sport=1024 ") {
				t.Errorf("the oldest is not the first: %s", first)
			}
		case q.Has("limit"):
			var p Page
			r.get("/v1/conntrack", c.query, &p)
			rows = len(p.Connections)
			if c.rows < 0 {
				if rows == p.Total {
					rows = -1
				}
			} else if p.Total != n {
				t.Errorf("%s: %d in all", c.query, p.Total)
			}
		default:
			var lines counter
			if err := r.c.Text(context.Background(), "/v1/conntrack", q, &lines); err != nil {
				t.Error(err)
			}
			rows = int(lines)
		}
		took := time.Since(begun)
		close(stop)
		t.Logf("%-34s %8s, others waited %s at most", c.query, took.Round(time.Microsecond), (<-worst).Round(time.Microsecond))
		if rows != c.rows {
			t.Errorf("%s: %d rows, want %d", c.query, rows, c.rows)
		}
	}
}

// counter counts lines.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	for _, x := range b {
		if x == '\n' {
			*c++
		}
	}
	return len(b), nil
}

var _ io.Writer = (*counter)(nil)

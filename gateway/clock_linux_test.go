package gateway

import (
	"context"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"weir/conntrack"
	"weir/engine"
)

// clocked is a gateway with links in memory and a clock of its own.
type clocked struct {
	bench
	now  atomic.Int64
	stop func()
}

func newClocked(t *testing.T, now time.Time, o Options) *clocked {
	t.Helper()
	c := &clocked{}
	c.now.Store(now.UnixNano())
	var lan, wan *End
	lan, c.lan = NewLink("lan0", "client", 1500, 16)
	wan, c.wan = NewLink("wan0", "server", 1500, 16)
	o.Clock = c.now.Load
	o.Devices = map[string]Device{"lan0": lan, "wan0": wan}
	ready := make(chan bool)
	o.Ready = func() { close(ready) }
	g, errs := New(machineFiles(t, map[string]string{"machine.yaml": homeYAML, "rules.v4": homeRules}), o)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	c.g = g
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	c.stop = func() {
		if cancel(); ended == nil {
			return
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended = nil
	}
	t.Cleanup(c.stop)
	<-ready
	return c
}

// open makes a connection of UDP through the gateway.
func (c *clocked) open(t *testing.T) {
	t.Helper()
	c.write(t, c.lan, udp4("192.0.2.10:1000", "203.0.113.1:53", "hello"))
	if got := ends(c.read(t, c.wan)); got != "203.0.113.2:1000 > 203.0.113.1:53 hello" {
		t.Fatal(got)
	}
}

// left is how long the connections have to live.
func (c *clocked) left() (list []time.Duration) {
	c.g.Do(func(m *engine.Machine) {
		m.Conntrack().Each(c.now.Load(), func(k *conntrack.Conn) bool {
			list = append(list, time.Duration(k.Expires(c.now.Load())))
			return true
		})
	})
	return list
}

// TestTheClockIsSetWhileTheGatewayIsAway sets the clock between a gateway and the
// one that goes on with its connections.
func TestTheClockIsSetWhileTheGatewayIsAway(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for _, x := range []struct {
		name            string
		step            time.Duration
		taken, restored time.Duration // what the connection has to live; 0: it ended
	}{
		{"not at all", 0, 30 * time.Second, 30 * time.Second},
		{"back by a day", -24 * time.Hour, 30 * time.Second, 30 * time.Second},
		{"on by a day, of which a crash knows nothing", 24 * time.Hour, 30 * time.Second, 0},
	} {
		t.Run(x.name+": a takeover", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "handover")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			old := newClocked(t, start, Options{Handover: func() net.Listener { return l }})
			old.open(t)
			u, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			next := newClocked(t, start.Add(x.step), Options{Takeover: u})
			next.lives(t, x.taken)
		})
		t.Run(x.name+": a crash", func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			old := newClocked(t, start, Options{State: state})
			old.open(t)
			old.stop()
			next := newClocked(t, start.Add(x.step), Options{State: state})
			next.lives(t, x.restored)
		})
	}
}

// lives checks what the only connection has to live, and that a second has it
// live a second less.
func (c *clocked) lives(t *testing.T, want time.Duration) {
	t.Helper()
	if want == 0 {
		eventually(t, "the connection lives", func() error {
			if l := c.left(); len(l) > 0 {
				return context.DeadlineExceeded
			}
			return nil
		})
		return
	}
	if l := c.left(); len(l) != 1 || l[0] != want {
		t.Fatalf("the connections have %v to live, want %v", l, want)
	}
	c.now.Add(int64(want - time.Second))
	c.write(t, c.wan, udp4("203.0.113.1:53", "203.0.113.2:1000", "answer"))
	if got := ends(c.read(t, c.lan)); got != "203.0.113.1:53 > 192.0.2.10:1000 answer" {
		t.Fatal(got)
	}
}

// TestTheClockJumps lets a clock jump by years under way: what is over ends, and
// packets pass as before.
func TestTheClockJumps(t *testing.T) {
	c := newClocked(t, time.Unix(1_800_000_000, 0), Options{})
	for range 5 {
		c.open(t)
		c.now.Add(int64(40 * 24 * time.Hour))
		eventually(t, "the connection lives", func() error {
			if len(c.left()) > 0 {
				return context.DeadlineExceeded
			}
			return nil
		})
	}
	c.open(t)
}

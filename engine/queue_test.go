package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/hook"
	"weir/iface"
	"weir/packet"
)

// clerk listens to queues: it answers from a list and keeps what it was shown.
type clerk struct {
	answers []hook.Answer // then later
	shown   []hook.Queued
}

func (c *clerk) Queued(q *hook.Queued) hook.Answer {
	s := *q
	s.Data = slices.Clone(q.Data)
	c.shown = append(c.shown, s)
	if len(c.answers) == 0 {
		return hook.Answer{Verdict: hook.Stolen}
	}
	a := c.answers[0]
	c.answers = c.answers[1:]
	return a
}

const queueAll = "*filter\n-A FORWARD -j NFQUEUE --queue-num 3\n-A FORWARD -j DROP\nCOMMIT\n" +
	"*security\n-A FORWARD -m mark --mark 0x7 -j DROP\nCOMMIT\n" +
	"*nat\n-A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n"

func queueing(t *testing.T, rules string, s hook.QueueSpec) (*Machine, *iface.Iface) {
	m := gateway(t, rules)
	m.SetQueue(3, &s)
	m.Trace(true)
	return m, m.Ifaces().Name("lan0")
}

// stepText is what a walk says of queues.
func stepText(r *Result) (s string) {
	for i := range r.Steps {
		if r.Steps[i].Kind == "queue" {
			s += r.Steps[i].Hook + " " + r.Steps[i].Text + "\n"
		}
	}
	return s
}

// TestListenersAnswer has a listener say each verdict, at once and later.
func TestListenersAnswer(t *testing.T) {
	other := ip4("192.0.2.10", "203.0.113.9", packet.UDP, udp(5, 99, 4))
	cases := []struct {
		name    string
		answer  hook.Answer
		verdict Verdict
		reason  hook.Reason
		tells   string
	}{
		{"accept goes on with the next function", hook.Answer{Verdict: hook.Accept}, Forwarded, hook.NoReason, "the listener says ACCEPT"},
		{"drop", hook.Answer{}, Dropped, hook.ReasonListener, "the listener says DROP"},
		{"stop skips the rest of the hook", hook.Answer{Verdict: hook.Stop, Mark: 7, Marked: true}, Forwarded, hook.NoReason, "the listener says STOP, mark 0x7"},
		{"a mark is seen by the next function", hook.Answer{Verdict: hook.Accept, Mark: 7, Marked: true}, Dropped, hook.ReasonRule, "ACCEPT, mark 0x7"},
		{"other bytes", hook.Answer{Verdict: hook.Accept, Data: other}, Forwarded, hook.NoReason, "ACCEPT, 32 other bytes"},
		{"bytes that are no packet", hook.Answer{Verdict: hook.Accept, Data: other[:20]}, Dropped, hook.ReasonMalformed, "the listener's packet is none"},
		{"to a queue that nobody reads", hook.Answer{Verdict: hook.Queue, To: 4}, Dropped, hook.ReasonQueue, "queue 4: nobody listens"},
		{"a verdict that there is not", hook.Answer{Verdict: 99}, Dropped, hook.ReasonListener, "the listener says ?"},
	}
	for _, c := range cases {
		for _, later := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, later %v", c.name, later), func(t *testing.T) {
				l := &clerk{}
				if !later {
					l.answers = []hook.Answer{c.answer}
				}
				m, lan := queueing(t, queueAll, hook.QueueSpec{Listener: l})
				in := ip4("192.0.2.10", "203.0.113.9", packet.UDP, udp(5, 6, 12))
				r := m.Receive(lan, packet.Link{}, in, 1e18)
				said := stepText(&r)
				if later {
					if r.Verdict != Held || m.Waiting(3) != 1 || !strings.Contains(said, "FORWARD queue 3: held as packet 1") {
						t.Fatalf("%s, %d wait, %s", r.Verdict, m.Waiting(3), said)
					}
					clear(in) // the caller's again
					if bad := m.env.CT.Check(); bad != nil {
						t.Fatal(bad)
					}
					if _, ok := m.Verdict(2, c.answer, 1e18); ok {
						t.Fatal("a packet that is not there has a verdict")
					}
					var ok bool
					if r, ok = m.Verdict(1, c.answer, 1e18+1e9); !ok {
						t.Fatal("no packet 1")
					}
					said = stepText(&r)
				}
				if r.Verdict != c.verdict || r.Reason != c.reason || !strings.Contains(said, c.tells) {
					t.Errorf("%s %q, %s", r.Verdict, r.Reason, said)
				}
				if c.verdict == Forwarded && (len(r.Out) != 1 || packet.Fold(packet.Sum(r.Out[0].Data[:20], 0)) != 0xffff || r.Out[0].Data[8] != 63 && c.answer.Data == nil) {
					t.Errorf("out %v", r.Out)
				}
				n := 0
				if c.verdict == Forwarded {
					n = 1
				}
				if bad := m.env.CT.Check(); bad != nil || m.env.CT.Len() != n || m.Waiting(3) != 0 {
					t.Errorf("%v, %d connections, %d wait", bad, m.env.CT.Len(), m.Waiting(3))
				}
				if s := &l.shown[0]; len(l.shown) != 1 || s.Queue != 3 || s.Point != hook.Forward || s.In != lan || s.Out.Name != "wan0" || s.Data[8] != 63 || len(s.Data) != 40 {
					t.Errorf("shown %+v", l.shown)
				}
			})
		}
	}
}

// TestRepeatAsksTheFunctionAgain marks a packet so that its rule does not match
// it any more.
func TestRepeatAsksTheFunctionAgain(t *testing.T) {
	rules := "*filter\n:FORWARD DROP\n-A FORWARD -m mark --mark 9 -j ACCEPT\n-A FORWARD -j NFQUEUE --queue-num 3\nCOMMIT\n"
	again := hook.Answer{Verdict: hook.Repeat}
	for _, c := range []struct {
		name    string
		answers []hook.Answer
		verdict Verdict
		shown   int
	}{
		{"with a mark it is through", []hook.Answer{again, again, {Verdict: hook.Repeat, Mark: 9, Marked: true}}, Forwarded, 3},
		{"for ever it is not", slices.Repeat([]hook.Answer{again}, 2000), Dropped, 256},
	} {
		l := &clerk{answers: c.answers}
		m, lan := queueing(t, rules, hook.QueueSpec{Listener: l})
		r := m.Receive(lan, packet.Link{}, ip4("192.0.2.10", "203.0.113.9", packet.UDP, udp(5, 6, 12)), 1e18)
		if r.Verdict != c.verdict || len(l.shown) != c.shown {
			t.Errorf("%s: %s %s, shown %d times", c.name, r.Verdict, r.Reason, len(l.shown))
		}
	}
}

// TestAQueueIsBounded fills one.
func TestAQueueIsBounded(t *testing.T) {
	for _, open := range []bool{false, true} {
		for _, most := range []int{0, 2} {
			l := &clerk{}
			m, lan := queueing(t, queueAll, hook.QueueSpec{Listener: l, MaxLen: most, FailOpen: open})
			if most == 0 {
				most = 1024
			}
			for i := range most + 3 {
				r := m.Receive(lan, packet.Link{}, ip4("192.0.2.10", "203.0.113.9", packet.UDP, udp(uint16(i+1), 6, 4)), 1e18)
				switch {
				case i < most && r.Verdict == Held:
				case i >= most && open && r.Verdict == Forwarded:
				case i >= most && !open && r.Reason == hook.ReasonQueueFull:
				default:
					t.Fatalf("packet %d of %d: %s %s", i, most, r.Verdict, r.Reason)
				}
			}
			m.SetQueue(3, nil)
			if n := m.Drops()[hook.ReasonListener]; n != uint64(most) || m.Waiting(3) != 0 {
				t.Errorf("%d of %d were dropped, %d wait", n, most, m.Waiting(3))
			}
			if _, ok := m.Verdict(1, hook.Answer{Verdict: hook.Accept}, 1e18); ok {
				t.Error("a packet of a closed queue goes on")
			}
			if bad := m.env.CT.Check(); bad != nil || !open && m.env.CT.Len() != 0 {
				t.Errorf("%v, %d connections", bad, m.env.CT.Len())
			}
		}
	}
}

// TestAHeldPacketsConnectionEnds lets the connection of packets that wait run out
// or be flushed, and its tuple be used again.
func TestAHeldPacketsConnectionEnds(t *testing.T) {
	for _, way := range []string{"timeout", "flush"} {
		l := &clerk{}
		m, lan := queueing(t, "*filter\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j NFQUEUE --queue-num 3\nCOMMIT\n", hook.QueueSpec{Listener: l})
		wan := m.Ifaces().Name("wan0")
		there := func() []byte { return ip4("192.0.2.10", "203.0.113.9", packet.UDP, udp(5, 6, 4)) }
		m.Receive(lan, packet.Link{}, there(), 1e18)
		for range 2 {
			if r := m.Receive(wan, packet.Link{}, ip4("203.0.113.9", "192.0.2.10", packet.UDP, udp(6, 5, 4)), 1e18); r.Verdict != Held {
				t.Fatal(r.Verdict)
			}
		}
		now := int64(1e18 + 1e9)
		if way == "timeout" {
			now += 1000e9
			m.Tick(now)
			m.Do(func() {})
		} else {
			m.Do(func() { m.env.CT.Flush(now) })
		}
		if bad := m.env.CT.Check(); bad != nil || m.env.CT.Len() != 1 {
			t.Fatalf("%s: %v, %d connections", way, bad, m.env.CT.Len())
		}
		if r := m.Receive(lan, packet.Link{}, there(), now); r.Verdict != Forwarded {
			t.Fatal(r.Verdict)
		}
		for _, id := range []uint64{2, 1} {
			if r, ok := m.Verdict(id, hook.Answer{Verdict: hook.Accept}, now); !ok || r.Verdict != Forwarded {
				t.Errorf("%s: %v %s %s", way, ok, r.Verdict, r.Reason)
			}
		}
		if bad := m.env.CT.Check(); bad != nil || m.env.CT.Len() != 1 {
			t.Errorf("%s: %v, %d connections", way, bad, m.env.CT.Len())
		}
	}
}

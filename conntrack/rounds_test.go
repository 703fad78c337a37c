package conntrack

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"weir/packet"
)

// TestRoundsMakeTheSameTable changes a table between the rounds, and between
// the steps of all but the last.
func TestRoundsMakeTheSameTable(t *testing.T) {
	for seed := range uint64(20) {
		tb := filled(t)
		back := empty(tb)
		rounds, l := tb.Rounds(), back.Loading()
		r := rand.New(rand.NewPCG(seed, 1))
		now := epoch + 2*second
		see := func(p *packet.Packet) {
			var ref Ref
			if tb.Track(p, nil, &ref, 0, false, now); ref.Conn == nil {
				return
			}
			if r.IntN(2) == 0 {
				tb.LinkSource(ref.Conn)
			}
			tb.Confirm(&ref, p, now)
		}
		stir := func(n int) {
			for range n {
				port := uint16(1000 + r.IntN(2100))
				switch r.IntN(7) {
				case 0:
					see(udp(t, client4, server4, port, 53, 4))
				case 1:
					see(udp(t, server4, client4, 53, port, 4))
				case 2:
					see(tcp(t, client4, server4, port, 80, seg{flags: "S", seq: 1}))
				case 3: // another connection may get the tuples and the slot
					if c := tb.conn(1 + r.Uint32N(tb.used-1)); c.flags&live != 0 {
						tb.Kill(c, now)
					}
				case 4:
					if c := tb.conn(1 + r.Uint32N(tb.used-1)); c.flags&live != 0 {
						tb.SetLabel(c, uint8(r.IntN(NumLabels)))
						tb.SetMark(c, r.Uint32())
					}
				case 5:
					see(udp(t, client6, server6, port, 53, 4))
				case 6:
					tb.Tick(now)
				}
				tb.Reap()
				now += int64(r.Uint32N(1e6))
			}
		}
		changed := 0
		for k := range 5 {
			last := k == 4
			s, b := rounds.Begin(nil, now, last)
			for more := true; more; {
				more = s.Read(100)
				b = s.Write(b)
				if !last {
					stir(r.IntN(4))
				}
			}
			changed = s.Changed()
			_, over, err := l.Round(b)
			if err != nil || over != last {
				t.Fatalf("round %d: %v, %v", k, over, err)
			}
			if err := back.Check(); err != nil {
				t.Fatalf("round %d: %v", k, err)
			}
			if !last {
				stir(20)
			}
		}
		if !maps.Equal(image(tb), image(back)) {
			t.Errorf("seed %d: %d records came, or others than the %d", seed, len(image(back)), len(image(tb)))
		}
		if changed == 0 || changed > 300 {
			t.Errorf("%d changed in the last round", changed)
		}
		if back.stats != tb.stats || back.seq != tb.seq || back.count != tb.count {
			t.Errorf("counters: %+v of %d, want %+v of %d", back.stats, back.count, tb.stats, tb.count)
		}
		back.Flush(now)
		back.Reap()
		if err := back.Check(); err != nil || back.Len() != 0 || back.Expects() != 0 {
			t.Error(err, back.Len(), back.Expects())
		}
	}
}

func TestRoundsThatAreNotRightAreRefused(t *testing.T) {
	round := func(r *Rounds, last bool) []byte {
		s, b := r.Begin(nil, epoch, last)
		for more := true; more; {
			more = s.Read(1000)
			b = s.Write(b)
		}
		return b
	}
	tb := filled(t)
	cases := []struct {
		name string
		feed func(l *Loading) error
		want error
	}{
		{"one that is left out", func(l *Loading) error {
			r := tb.Rounds()
			round(r, false)
			_, _, err := l.Round(round(r, true))
			return err
		}, ErrSnapshotApart},
		{"a whole snapshot", func(l *Loading) error {
			_, _, err := l.Round(tb.AppendSnapshot(nil, epoch))
			return err
		}, ErrSnapshotKind},
		{"one after the last", func(l *Loading) error {
			r := tb.Rounds()
			if _, over, err := l.Round(round(r, true)); err != nil || !over {
				return err
			}
			_, _, err := l.Round(round(r, true))
			return err
		}, ErrNotEmpty},
		{"damaged", func(l *Loading) error {
			b := round(tb.Rounds(), true)
			b[len(b)/2] ^= 1
			_, _, err := l.Round(b)
			return err
		}, ErrSnapshotDamaged},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			back := empty(tb)
			l := back.Loading()
			if err := c.feed(l); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if _, _, err := l.Round(round(tb.Rounds(), true)); err == nil {
				t.Error("it goes on after an error")
			}
			l = l.Abandon(epoch)
			if err := back.Check(); err != nil || back.Len() != 0 {
				t.Fatal(err, back.Len())
			}
			if _, over, err := l.Round(round(tb.Rounds(), true)); err != nil || !over || !maps.Equal(image(tb), image(back)) {
				t.Error("another beginning: ", err)
			}
		})
	}
	if _, err := empty(tb).LoadSnapshot(round(tb.Rounds(), true), nil); !errors.Is(err, ErrSnapshotKind) {
		t.Error("a round as a snapshot: ", err)
	}
}

func FuzzRound(f *testing.F) {
	tb := filled(f)
	r := tb.Rounds()
	var first []byte
	for k := range 3 {
		s, b := r.Begin(nil, epoch, k == 2)
		for more := true; more; {
			more = s.Read(1000)
			b = s.Write(b)
		}
		if first == nil {
			first = b
		}
		f.Add(b)
		for slot := uint32(5); slot < 40; slot += 3 {
			if c := tb.conn(slot); c.flags&live != 0 {
				tb.Kill(c, epoch)
				tb.Reap()
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 16 { // the sum is right, so that the rest is read
			binary.LittleEndian.PutUint32(b[len(b)-4:], sumOf(b[:len(b)-4]))
		}
		back := empty(tb)
		l := back.Loading()
		if _, _, err := l.Round(first); err != nil {
			t.Fatal(err)
		}
		_, _, _ = l.Round(b)
		if err := back.Check(); err != nil {
			t.Fatal(err)
		}
		l.Abandon(epoch)
		if err := back.Check(); err != nil || back.Len() != 0 {
			t.Fatal(err, back.Len())
		}
	})
}

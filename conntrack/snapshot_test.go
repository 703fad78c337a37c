package conntrack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"testing"

	"weir/packet"
)

// filled is a table with everything in it that a table may have.
func filled(t testing.TB) *Table {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Events = 1
	tb := New(cfg)
	tb.SetHelpers([]Helper{{Name: "ftp", Family: packet.IPv4, Proto: packet.TCP, Classes: []ExpectPolicy{{Max: 8, Timeout: 300 * second}}}})
	tb.AddTimeoutPolicy(TimeoutPolicy{Name: "short", Family: packet.IPv4, Proto: packet.UDP, Values: [NumTCPTimeouts]int64{5 * second}})
	now := epoch
	r := rand.New(rand.NewPCG(1, 2))
	send := func(p *packet.Packet, tmpl *Template) *Conn {
		var ref Ref
		if out := tb.Track(p, tmpl, &ref, 0, false, now); !out.OK || ref.Conn == nil {
			t.Fatalf("%v", out)
		}
		if ref.Conn.Status&Confirmed == 0 {
			tb.LinkSource(ref.Conn)
		}
		tb.Confirm(&ref, p, now)
		c := ref.Conn
		tb.Reap()
		now += int64(r.Uint32N(1e6))
		return c
	}
	tb.Config().Acct, tb.Config().Timestamp = true, true
	for i := range uint16(2000) {
		tb.Config().Acct = i%3 > 0
		c := send(udp(t, client4, server4, 1000+i, 53, 4), nil)
		switch i % 5 {
		case 0:
			send(udp(t, server4, client4, 53, 1000+i, 9), nil)
		case 1:
			tb.SetLabel(c, uint8(i%NumLabels))
		case 2:
			tb.SetMark(c, uint32(i))
		case 3:
			tb.Kill(c, now)
			tb.Reap()
		}
	}
	send(udp(t, client6, server6, 1, 2, 1), &Template{ZoneID: 7, ZoneDir: ZoneOriginal})
	send(udp(t, client4, server4, 1, 2, 1), &Template{TimeoutPolicy: "short"})
	c := send(tcp(t, client4, server4, 5000, 21, seg{flags: "S", seq: 1}), &Template{HelperID: 1, Helper: "ftp"})
	send(tcp(t, server4, client4, 21, 5000, seg{flags: "SA", seq: 9, ack: 2}), nil)
	tb.SetSeqAdj(c, Reply, 9, -3)
	tb.HelpData(c)[2] = 77
	expect := func(port uint16) {
		e := &Expect{Master: c.ID(), Tuple: Tuple{Src: addr(server4), Dst: addr(client4), DstL4: port, Proto: packet.TCP, L3: packet.IPv4}, SrcMask: packet.Addr{255, 255, 255, 255}, Assign: 1, Fn: 2, SavedL4: 4}
		if _, res := tb.Expect(e, false, now); res != ExpectOK {
			t.Fatal(res)
		}
	}
	for port := range uint16(5) {
		expect(40000 + port)
	}
	send(tcp(t, server4, client4, 20, 40002, seg{flags: "S", seq: 1}), nil)
	tb.AddGREKey(c, Reply, &Tuple{Src: addr(server4), Dst: addr(client4), Proto: packet.GRE, L3: packet.IPv4, SrcL4: 4, DstL4: 5})
	if err := tb.Check(); err != nil {
		t.Fatal(err)
	}
	return tb
}

// empty is a table like filled's, with nothing in it.
func empty(tb *Table) *Table {
	n := New(*tb.Config())
	n.SetHelpers(tb.helpers)
	n.policies = tb.policies
	return n
}

// image is all records of a table by their text, which names none of its slots.
func image(tb *Table) map[string]int {
	all := map[string]int{}
	add := func(f func(c *coder)) {
		c := coder{}
		f(&c)
		all[string(c.b)]++
	}
	for slot := uint32(1); slot < tb.used; slot++ {
		if k := tb.conn(slot); k.flags&live != 0 {
			r := &saved{}
			tb.record(k, r)
			add(func(c *coder) { c.conn(r) })
		}
	}
	tb.EachExpect(func(e *Expect) bool {
		add(func(c *coder) {
			c.expect(&savedExpect{Expect: *e, master: tb.ByID(e.Master).Seq, helper: tb.HelperName(e.Helper), assign: tb.helperKey(e.Assign)})
		})
		return true
	})
	for _, k := range tb.greKeys {
		if tb.ByID(k.owner) == nil { // PPTP's helper, which is not here, would remove it
			continue
		}
		add(func(c *coder) { c.key(&savedKey{k.tuple, tb.ByID(k.owner).Seq, uint8(k.dir)}) })
	}
	return all
}

func TestASnapshotIsReadBackEqual(t *testing.T) {
	tb := filled(t)
	data := tb.AppendSnapshot([]byte("before"), 42)[6:]
	back := empty(tb)
	now, err := back.LoadSnapshot(data, nil)
	if err != nil || now != 42 {
		t.Fatal(now, err)
	}
	if err := back.Check(); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(image(tb), image(back)) || len(image(back)) < 1000 {
		t.Errorf("%d records came back of %d, or others", len(image(back)), len(image(tb)))
	}
	if back.stats != tb.stats || back.seq != tb.seq || back.expects.seq != tb.expects.seq || back.count != tb.count || back.expects.count != tb.expects.count {
		t.Errorf("counters: %+v of %d, want %+v of %d", back.stats, back.count, tb.stats, tb.count)
	}
	// What is done to one leads to the same as done to the other.
	for _, x := range []*Table{tb, back} {
		x.Tick(epoch + 4*second)
		x.Tick(epoch + 40*second)
		x.Reap()
	}
	if !maps.Equal(image(tb), image(back)) || tb.Len() == 0 {
		t.Errorf("40 s later %d are left of the one, %d of the other", tb.Len(), back.Len())
	}
	back.Flush(epoch + 41*second)
	back.Reap()
	if err := back.Check(); err != nil || back.Len() != 0 || back.Expects() != 0 {
		t.Error(err, back.Len(), back.Expects())
	}
	if _, err := tb.LoadSnapshot(data, nil); !errors.Is(err, ErrNotEmpty) {
		t.Error("into a table with connections: ", err)
	}
}

func TestTimeoutsOfASnapshotAreShifted(t *testing.T) {
	const hour = 3600 * second
	tb := filled(t)
	by := func(d int64) func(int64) int64 { return func(int64) int64 { return d } }
	later, back := empty(tb), empty(tb)
	now, err := later.LoadSnapshot(tb.AppendSnapshot(nil, epoch), by(hour))
	if err != nil || now != epoch+hour {
		t.Fatal(now, err)
	}
	if _, err := back.LoadSnapshot(later.AppendSnapshot(nil, now), by(-hour)); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(image(tb), image(back)) {
		t.Error("an hour later and an hour earlier is not the same")
	}
	for slot := uint32(1); slot < tb.used; slot++ {
		k := tb.conn(slot)
		if k.flags&live == 0 {
			continue
		}
		c, _ := later.Lookup(&k.Tuple[Original], 0)
		if c == nil || c.deadline != k.deadline+hour {
			t.Fatalf("%v: ends at %v", k.Tuple[Original], c)
		}
	}
	later.Tick(epoch + hour - second)
	later.Reap()
	if later.Len() != tb.Len() {
		t.Errorf("%d connections are left of %d before their hour", later.Len(), tb.Len())
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	tb := filled(t)
	data := tb.AppendSnapshot(nil, 42)
	r := rand.New(rand.NewPCG(3, 4))
	try := func(what string, b []byte, want error) {
		t.Helper()
		back := empty(tb)
		if _, err := back.LoadSnapshot(b, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if back.Len() != 0 || back.Check() != nil {
			t.Errorf("%s: something was entered", what)
		}
	}
	for range 200 {
		b := bytes.Clone(data)
		b[12+r.IntN(len(b)-12)] ^= 1 << r.IntN(8)
		try("a bit is turned", b, ErrSnapshotDamaged)
		try("cut off", data[:12+r.IntN(len(data)-12)], ErrSnapshotDamaged)
	}
	try("longer", append(bytes.Clone(data), 0), ErrSnapshotDamaged)
	try("nothing", nil, ErrSnapshotKind)
	try("a text", []byte("-A -t 100 -u UNSET -s 192.0.2.1"), ErrSnapshotKind)
	b := bytes.Clone(data)
	b[8]++
	try("another version", b, ErrSnapshotVersion)
}

// TestASnapshotInStepsKeepsWhatStays changes the table between the steps.
func TestASnapshotInStepsKeepsWhatStays(t *testing.T) {
	tb := filled(t)
	before := image(tb)
	s, b := tb.BeginSnapshot(nil, 1)
	r := rand.New(rand.NewPCG(5, 6))
	gone, steps := map[uint64]bool{}, 0
	for more := true; more; steps++ {
		more = s.Read(64)
		b = s.Write(b)
		if c := tb.conn(1 + r.Uint32N(tb.used-1)); c.flags&live != 0 && tb.Children(c) == 0 && c.Proto() == packet.UDP {
			gone[c.Seq] = true
			tb.Kill(c, epoch)
			tb.Reap()
		}
		var ref Ref
		p := udp(t, client6, server6, uint16(steps), 5353, 1)
		tb.Track(p, nil, &ref, 0, false, epoch)
		tb.Confirm(&ref, p, epoch)
	}
	if steps < 20 || len(gone) == 0 {
		t.Fatalf("%d steps, %d ended", steps, len(gone))
	}
	back := empty(tb)
	if _, err := back.LoadSnapshot(b, nil); err != nil {
		t.Fatal(err)
	}
	if err := back.Check(); err != nil {
		t.Fatal(err)
	}
	after, missing := image(back), 0
	for k := range before {
		if after[k] == 0 {
			missing++
		}
	}
	if missing > len(gone) {
		t.Errorf("%d records are missing, %d connections ended", missing, len(gone))
	}
}

func FuzzLoadSnapshot(f *testing.F) {
	tb := filled(f)
	small := New(DefaultConfig())
	f.Add(small.AppendSnapshot(nil, 1))
	small = empty(tb)
	var ref Ref
	p := tcp(f, client4, server4, 5000, 21, seg{flags: "S", seq: 1})
	small.Track(p, &Template{HelperID: 1}, &ref, 0, false, epoch)
	small.Confirm(&ref, p, epoch)
	small.Expect(&Expect{Master: ref.Conn.ID(), Tuple: Tuple{Dst: addr(client4), DstL4: 5, Proto: packet.TCP, L3: packet.IPv4}}, false, epoch)
	f.Add(small.AppendSnapshot(nil, epoch))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 16 { // the sum is right, so that the rest is read
			binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)))
		}
		back := empty(tb)
		if _, err := back.LoadSnapshot(b, nil); err != nil {
			if back.Len() != 0 {
				t.Fatal("something was entered")
			}
			return
		}
		if err := back.Check(); err != nil {
			t.Fatal(err)
		}
		again := empty(tb)
		if _, err := again.LoadSnapshot(back.AppendSnapshot(nil, epoch), nil); err != nil {
			t.Fatal("what was written is not read: ", err)
		}
		back.Tick(epoch)
		back.Tick(epoch + 1000*second)
		back.Flush(epoch + 2000*second)
		back.Reap()
		if err := back.Check(); err != nil || back.Len() != 0 {
			t.Fatal(err, back.Len())
		}
	})
}

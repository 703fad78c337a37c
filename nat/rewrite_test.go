package nat

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"weir/conntrack"
	"weir/hook"
	"weir/packet"
)

// TestRewritingAtOnceIsRewritingStepByStep compares the short way with what
// the hooks and the router do one after the other: every direction, side and
// family, good checksums, wrong ones and both forms of zero.
func TestRewritingAtOnceIsRewritingStepByStep(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 50_000 {
		q := conntrack.Probe{Family: packet.IPv4, Proto: packet.UDP, L4: 20, Dir: conntrack.Dir(i & 1)}
		if i&2 != 0 {
			q.Family, q.L4 = packet.IPv6, 40
		}
		if i&4 != 0 {
			q.Proto = packet.TCP
		}
		d := make([]byte, q.L4+20+r.IntN(40))
		for at := range d {
			d[at] = byte(r.Uint32()) & -byte(r.Uint32()&1) // many zeros
		}
		if q.Family == packet.IPv4 {
			d[0], d[2], d[3], d[6], d[7], d[8], d[9] = 0x45, 0, byte(len(d)), 0, 0, 2+d[8]/2, q.Proto
			d[10], d[11] = 0, 0
			sum := packet.IPv4HeaderChecksum(d[:20])
			if sum == 0 && i&8 != 0 {
				sum = 0xffff // as good
			}
			d[10], d[11] = byte(sum>>8), byte(sum)
		} else {
			d[0], d[4], d[5], d[6], d[7] = 0x60, 0, byte(len(d)-40), q.Proto, 2+d[7]/2
		}
		var p packet.Packet
		if err := packet.Parse(bytes.Clone(d), &p); err != nil {
			t.Fatal(err)
		}
		if i&16 != 0 {
			p.FixL4Checksum()
			copy(d, p.Data)
		} else if i&32 != 0 {
			at := q.L4 + 6
			if q.Proto == packet.TCP {
				at = q.L4 + 16
			}
			p.Data[at], p.Data[at+1] = 0xff, 0xff
			copy(d, p.Data)
		}
		here, ok := conntrack.TupleOf(&p, 0)
		if !ok {
			t.Fatal("no tuple")
		}
		there, _ := here.Inverse()
		var c conntrack.Conn
		for bit, change := range map[conntrack.Status]func(){
			Source.bit(q.Dir):      func() { there.Dst[r.IntN(q.Family.Len())] = byte(r.Uint32()); there.DstL4 = uint16(r.Uint32()) },
			Destination.bit(q.Dir): func() { there.Src[r.IntN(q.Family.Len())] = byte(r.Uint32()); there.SrcL4 = uint16(r.Uint32()) },
		} {
			if r.IntN(3) > 0 {
				c.Status |= bit
				change()
			}
		}
		c.Tuple[q.Dir], c.Tuple[1-q.Dir] = here, there
		translate := i&64 == 0

		step := hook.Traversal{Pkt: &p, CT: conntrack.Ref{Conn: &c, Info: [2]conntrack.Info{conntrack.InfoEstablished, conntrack.InfoEstablishedReply}[q.Dir]}}
		if translate && !Packet(&step, Destination) {
			t.Fatal("too short")
		}
		p.SetTTL(p.TTL() - 1)
		if translate && !Packet(&step, Source) {
			t.Fatal("too short")
		}
		q.Conn, q.Data = &c, bytes.Clone(d)
		Rewrite(&q, translate)
		if !bytes.Equal(q.Data, p.Data) {
			t.Fatalf("packet %d, status %b, direction %d, translated %v: %x\nat once      %x\nstep by step %x", i, c.Status, q.Dir, translate, d, q.Data, p.Data)
		}
	}
}

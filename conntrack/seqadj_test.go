package conntrack

import (
	"encoding/binary"
	"testing"

	"weir/packet"
)

// TestSequenceNumbersMove moves the numbers of both directions of a connection
// whose original direction was lengthened by 5 bytes at sequence number 1000 and
// then by 3 at 2000.
func TestSequenceNumbersMove(t *testing.T) {
	tb := New(DefaultConfig())
	c := tb.slab.take()
	tb.SetSeqAdj(c, Original, 1000, 5)
	tb.SetSeqAdj(c, Original, 2000, 3)
	tb.SetSeqAdj(c, Original, 1500, 9) // older than the last: a repetition
	if !c.Has(SeqAdjust) || !c.Extended() {
		t.Fatal("the connection is not marked")
	}
	for _, x := range []struct {
		name             string
		dir              Dir
		seq, ack         uint32
		wantSeq, wantAck uint32
	}{
		{"before the last correction", Original, 1500, 7, 1505, 7},
		{"at the last correction", Original, 2000, 7, 2005, 7},
		{"behind the last correction", Original, 2001, 7, 2009, 7},
		{"acknowledgement before it", Reply, 7, 2005, 7, 2000},
		{"acknowledgement behind it", Reply, 7, 2009, 7, 2001},
		{"acknowledgement around zero", Reply, 7, 3, 7, 0xfffffffe},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := segmentWithSack(x.seq, x.ack, x.ack)
			if !tb.AdjustSeq(c, x.dir, b) {
				t.Fatal("refused")
			}
			be := binary.BigEndian
			if s, a := be.Uint32(b[4:]), be.Uint32(b[8:]); s != x.wantSeq || a != x.wantAck {
				t.Errorf("seq %d ack %d, want %d and %d", s, a, x.wantSeq, x.wantAck)
			}
			if edge := be.Uint32(b[24:]); edge != x.wantAck {
				t.Errorf("SACK edge %d, want %d", edge, x.wantAck)
			}
			if s := sum(b); s != 0xffff {
				t.Errorf("the checksum does not follow: %#x", s)
			}
		})
	}
}

// segmentWithSack is a TCP header with the option NOP NOP SACK of one block, and
// a checksum over the header alone.
func segmentWithSack(seq, ack, edge uint32) []byte {
	b := make([]byte, 32)
	be := binary.BigEndian
	be.PutUint32(b[4:], seq)
	be.PutUint32(b[8:], ack)
	b[12], b[13] = 8<<4, packet.TCPAck
	b[20], b[21], b[22], b[23] = 1, 1, 5, 10
	be.PutUint32(b[24:], edge)
	be.PutUint32(b[28:], edge)
	be.PutUint16(b[16:], ^sum(b))
	return b
}

func sum(b []byte) uint16 {
	n := uint32(0)
	for i := 0; i < len(b); i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for n>>16 != 0 {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}

// TestBrokenOptionsAreRefused gives options that lie about their length.
func TestBrokenOptionsAreRefused(t *testing.T) {
	tb := New(DefaultConfig())
	c := tb.slab.take()
	tb.InitSeqAdj(c, Original, 1)
	for _, x := range []struct {
		name string
		bad  func(b []byte) []byte
	}{
		{"header shorter than 20", func(b []byte) []byte { return b[:19] }},
		{"options behind the end", func(b []byte) []byte { return b[:28] }},
		{"option of length 1", func(b []byte) []byte { b[23] = 1; return b }},
		{"option longer than the header", func(b []byte) []byte { b[23] = 11; return b }},
		{"option without a length", func(b []byte) []byte { copy(b[20:], []byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5}); return b }},
	} {
		if tb.AdjustSeq(c, Reply, x.bad(segmentWithSack(1, 2, 3))) {
			t.Errorf("%s: accepted", x.name)
		}
	}
}

// TestExtensionsAreReused takes and gives extensions with their connections.
func TestExtensionsAreReused(t *testing.T) {
	tb := New(DefaultConfig())
	for range 10 * chunkExts {
		c := tb.slab.take()
		tb.InitSeqAdj(c, Original, 7)
		if got := tb.SeqOffset(c, Reply, 0); got != 0 {
			t.Fatalf("a new extension holds %d", got)
		}
		tb.release(c)
	}
	if len(tb.exts.chunks) != 1 {
		t.Errorf("%d chunks for one extension at a time", len(tb.exts.chunks))
	}
}

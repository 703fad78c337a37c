package conntrack

import (
	"encoding/binary"

	"weir/packet"
)

// seqAdj is by how much the sequence numbers of one direction are moved,
// because data was made longer or shorter on its way: before up to the sequence
// number pos, after behind it. One correction at a time is kept, which is
// enough for a segment that is sent again (Linux: struct nf_ct_seqadj).
type seqAdj struct {
	pos           uint32
	before, after int32
}

// offset is what is added to a sequence number of the direction.
func (a *seqAdj) offset(seq uint32) uint32 {
	if after(seq, a.pos) {
		return uint32(a.after)
	}
	return uint32(a.before)
}

// behind is offset for a number that was moved already, as acknowledgements
// come back with it.
func (a *seqAdj) behind(seq uint32) uint32 {
	if after(seq-uint32(a.before), a.pos) {
		return uint32(a.after)
	}
	return uint32(a.before)
}

// InitSeqAdj moves all sequence numbers of direction d by off from the first
// on. Linux: nf_ct_seqadj_init.
func (tb *Table) InitSeqAdj(c *Conn, d Dir, off int32) {
	if off == 0 {
		return
	}
	c.Status |= SeqAdjust
	a := &tb.extend(c).seq[d]
	a.before, a.after = off, off
}

// SetSeqAdj records that the segment of direction d that begins at seq, as it
// came in, became longer by off bytes (shorter if negative). A segment that is
// older than the last correction is taken for a repetition and changes nothing.
// Linux: nf_ct_seqadj_set.
func (tb *Table) SetSeqAdj(c *Conn, d Dir, seq uint32, off int32) {
	if off == 0 {
		return
	}
	c.Status |= SeqAdjust
	a := &tb.extend(c).seq[d]
	if a.before == a.after || before(a.pos, seq) {
		a.pos = seq
		a.before = a.after
		a.after += off
	}
}

// SeqOffset is what was added to a sequence number of direction d.
// Linux: nf_ct_seq_offset.
func (tb *Table) SeqOffset(c *Conn, d Dir, seq uint32) uint32 {
	if e := tb.extOf(c); e != nil {
		return e.seq[d].offset(seq)
	}
	return 0
}

// AdjustSeq moves the sequence number, the acknowledgement and the selective
// acknowledgements of a packet of direction d. b begins at its layer-4 header.
// False: the header is cut off or its options are broken, and the packet is to
// be dropped. An ICMP error about the connection is taken for a segment, as
// Linux does. Linux: nf_ct_seq_adjust.
func (tb *Table) AdjustSeq(c *Conn, d Dir, b []byte) bool {
	e := tb.extOf(c)
	if e == nil {
		return true
	}
	if len(b) < 20 {
		return false
	}
	seq, ack := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	other := &e.seq[1-d]
	put32(b, 4, seq+e.seq[d].offset(seq))
	if b[13]&packet.TCPAck == 0 {
		return true
	}
	put32(b, 8, ack-other.behind(ack))
	return adjustSack(b, other)
}

// adjustSack moves the edges in SACK options (RFC 2018). Linux:
// nf_ct_sack_adjust.
func adjustSack(b []byte, a *seqAdj) bool {
	end := int(b[12]>>4) * 4
	if end > len(b) {
		return false
	}
	for i := 20; i < end; {
		switch b[i] {
		case optEnd:
			return true
		case optNop:
			i++
			continue
		}
		if i+1 == end {
			return false
		}
		n := int(b[i+1])
		if n < 2 || i+n > end {
			return false
		}
		if b[i] == optSack && n >= sackBaseLen+sackBlockLen && (n-sackBaseLen)%sackBlockLen == 0 {
			for at := i + sackBaseLen; at < i+n; at += 4 {
				edge := binary.BigEndian.Uint32(b[at:])
				put32(b, at, edge-a.behind(edge))
			}
		}
		i += n
	}
	return true
}

// put32 writes a word of a TCP header and follows it in the checksum. The word
// may lie at an odd offset: Linux then sums it as if it did not.
func put32(b []byte, at int, v uint32) {
	old := binary.BigEndian.Uint32(b[at:])
	binary.BigEndian.PutUint32(b[at:], v)
	binary.BigEndian.PutUint16(b[16:], packet.Replace32(binary.BigEndian.Uint16(b[16:]), old, v))
}

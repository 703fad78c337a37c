package conntrack

import (
	"math/bits"

	"weir/internal/siphash"
	"weir/packet"
)

// clashTimeout is what the duplicate of a clash lives.
const clashTimeout = second

// Confirm is conntrack's way out, at the last hook of a packet that nothing
// dropped. A new connection enters the table; when another one has its tuple
// meanwhile the clash is resolved where the protocol allows, which may attach
// the packet to the other connection. Then pending events are delivered. When
// the outcome is not OK the packet is to be dropped.
//
// Linux: nf_conntrack_confirm, __nf_conntrack_confirm.
func (tb *Table) Confirm(ref *Ref, p *packet.Packet, now int64) Outcome {
	tb.why = remark{}
	c := ref.Conn
	if c == nil {
		return pass()
	}
	if c.Status&Confirmed == 0 {
		if ref.Info.Dir() != Original {
			// The answer of a REJECT, carrying the connection of a packet
			// that will never be confirmed.
			return pass()
		}
		if out := tb.enter(ref, p, now); !out.OK {
			return out
		}
		c = ref.Conn
	}
	if c.pending != 0 {
		tb.deliver(c, now)
	}
	return pass()
}

// enter puts an unconfirmed connection into the table.
func (tb *Table) enter(ref *Ref, p *packet.Packet, now int64) Outcome {
	c := ref.Conn
	if c.Status&Dying != 0 {
		tb.say(whyDying)
		tb.stats.InsertFailed++
		return refuse(CauseDying)
	}
	var ho, hr uint64
	known := tb.vacant(c)
	if known != nil {
		ho = known.orig
	} else {
		ho = tb.hash(&c.Tuple[Original])
	}
	replyKnown := known != nil && known.has && known.reply == c.Tuple[Reply]
	if replyKnown {
		hr = known.hash
	} else {
		hr = tb.hash(&c.Tuple[Reply])
	}
	if tb.crowded(uint32(ho)) || tb.crowded(uint32(hr)) {
		tb.say(whyChain)
		tb.stats.ChainTooLong++
		tb.stats.InsertFailed++
		return refuse(CauseChainTooLong)
	}
	zo, zr := c.Tuple[Original].Zone, c.Tuple[Reply].Zone
	var other *Conn
	if known == nil {
		other, _ = tb.find(&c.Tuple[Original], ho, meeting(Original, zo, zr))
	}
	if other == nil && !replyKnown {
		other, _ = tb.find(&c.Tuple[Reply], hr, meeting(Reply, zo, zr))
	}
	if other != nil {
		return tb.clash(ref, other, p, hr, now)
	}
	c.deadline += now
	tb.start(c, now)
	tb.link(c, ho, hr)
	if c.ext != 0 && tb.Helper(c) != 0 {
		c.note(EventBitHelper)
	}
	if c.flags&child != 0 {
		c.note(EventBitRelated)
	} else {
		c.note(EventBitNew)
	}
	return pass()
}

// link puts a connection's tuples into the index. Their hashes are ho and hr.
func (tb *Table) link(c *Conn, ho, hr uint64) {
	if c.Tuple[Original] == c.Tuple[Reply] {
		c.flags |= symmetric
	}
	tb.index.insert(tb, ho, makeRef(c.index, Original))
	tb.index.insert(tb, hr, makeRef(c.index, Reply))
	tb.publish()
	tb.entered(c)
	c.Status |= Confirmed
}

func (tb *Table) start(c *Conn, now int64) {
	if c.flags&stamped != 0 {
		tb.starts[c.index/chunkConns][c.index%chunkConns] = now
	}
}

// crowded reports that Linux's bucket of the hash is too full for another
// entry: more than 50 to 79 of them, by chance. It is worth the look only when
// buckets are few.
func (tb *Table) crowded(hash uint32) bool {
	size := tb.cfg.buckets()
	if uint64(tb.index.entries) < 8*size {
		return false
	}
	limit := 50 + int(siphash.Sum2(&tb.key, tb.seq, uint64(hash))%30)
	n := 0
	lo, hi := bucketRange(uint64(bits.Reverse32(hash))*size>>32, size)
	tb.index.inRange(tb, lo, hi, func(entryRef) bool {
		n++
		return n <= limit+1
	})
	return n > limit+1
}

// clash resolves that other has a tuple of the unconfirmed connection of ref.
// hr is the hash of the latter's reply. Linux: nf_ct_resolve_clash.
func (tb *Table) clash(ref *Ref, other *Conn, p *packet.Packet, hr uint64, now int64) Outcome {
	c := ref.Conn
	if !tb.trackers[c.Proto()].clashOK {
		return tb.lose()
	}
	if tb.merge(ref, other, p) {
		return pass()
	}
	// Only answers can be told apart, so only the reply is entered.
	if twin, _ := tb.find(&c.Tuple[Reply], hr, meeting(Reply, c.Tuple[Original].Zone, c.Tuple[Reply].Zone)); twin != nil {
		if tb.merge(ref, twin, p) {
			return pass()
		}
		return tb.lose()
	}
	c.deadline = now + clashTimeout
	c.Status |= FixedTimeout | NATClash | Confirmed
	tb.start(c, now)
	tb.index.insert(tb, hr, makeRef(c.index, Reply))
	tb.publish()
	tb.entered(c)
	tb.stats.ClashResolve++
	return pass()
}

// lose is a clash that cannot be resolved.
func (tb *Table) lose() Outcome {
	tb.say(whyClash)
	tb.stats.Drop++
	tb.stats.InsertFailed++
	return refuse(CauseClash)
}

// merge gives the packet to winner when that is the same connection, perhaps
// begun from the other side; the packet's own one is freed.
// Linux: __nf_ct_resolve_clash, nf_ct_match, nf_ct_match_reverse.
func (tb *Table) merge(ref *Ref, winner *Conn, p *packet.Packet) bool {
	c := ref.Conn
	same := winner.Tuple == c.Tuple
	reversed := winner.Tuple[Original] == c.Tuple[Reply] && winner.Tuple[Reply] == c.Tuple[Original]
	if !same && !reversed || winner.Status&Dying != 0 {
		return false
	}
	tb.account(winner, ref.Info, p)
	ref.Conn = winner
	tb.Release(Ref{Conn: c})
	tb.stats.ClashResolve++
	return true
}

package defrag

import (
	"math/bits"

	"weir/iface"
	"weir/packet"
)

// User is who wants a datagram whole. Datagrams of different users do not mix.
type User uint8

// The users (Linux: enum ip_defrag_users).
const (
	Deliver      User = iota // local delivery, where connection tracking does not run
	ConntrackIn              // PREROUTING
	ConntrackOut             // OUTPUT
	numUsers
)

// Status is what became of a fragment.
type Status uint8

// The statuses.
const (
	PassedOn Status = iota // nothing was done to it: not a fragment, or not one to reassemble
	Waiting                // kept until the rest comes
	Complete               // the packet is the whole datagram now
	Dropped                // see Cause
)

// Cause is why a fragment, and perhaps its datagram, was dropped.
type Cause uint8

// The causes.
const (
	NoCause      Cause = iota
	Duplicate          // all of it had come before; the datagram goes on
	Overlap            // overlaps others: the datagram is given up
	BadLength          // lengths that contradict each other, or beyond 65535
	BadECN             // fragments with and without ECN
	Memory             // no memory for more fragments
	Timeout            // the rest did not come in time
	OddLength          // IPv6, local: not the last and no multiple of 8 bytes
	HeadersSplit       // IPv6, local: the first fragment lacks the upper-layer header
)

// String is the cause in words, for traces.
func (c Cause) String() string {
	switch c {
	case Duplicate:
		return "duplicate of a fragment that is here already"
	case Overlap:
		return "overlaps another fragment, datagram given up"
	case BadLength:
		return "length contradicts the other fragments"
	case BadECN:
		return "fragments with and without ECN"
	case Memory:
		return "no memory for more fragments"
	case Timeout:
		return "the rest did not come in time"
	case OddLength:
		return "length of a fragment before the last is no multiple of 8"
	case HeadersSplit:
		return "first fragment ends before the upper-layer header"
	}
	return ""
}

// Rules are the settings of one family and use.
type Rules struct {
	Timeout    int64 // ns from the first fragment to giving up
	HighThresh int   // bytes of memory beyond which fragments are refused
	// MaxDist is how many fragments of other datagrams from the same source
	// may come between two of one, 0 for any number. IPv4 only.
	MaxDist uint32
}

// Config is the settings of a Queue.
type Config struct {
	V4        Rules // net.ipv4.ipfrag_*
	V6        Rules // net.netfilter.nf_conntrack_frag6_*
	V6Deliver Rules // net.ipv6.ip6frag_*
}

// DefaultConfig is Linux's.
func DefaultConfig() Config {
	const s = 1e9
	return Config{
		V4:        Rules{Timeout: 30 * s, HighThresh: 4 << 20, MaxDist: 64},
		V6:        Rules{Timeout: 60 * s, HighThresh: 4 << 20},
		V6Deliver: Rules{Timeout: 60 * s, HighThresh: 4 << 20},
	}
}

// key is what fragments of one datagram share.
type key struct {
	src, dst packet.Addr
	id       uint32
	dev      int // IPv6 with a destination of one link
	zone     uint16
	proto    uint8 // IPv4
	fam      packet.Family
	user     User
}

// piece is a kept fragment.
type piece struct {
	off, end int
	// run marks a piece that came right behind the one before it: together
	// they are one run, the unit by which Linux searches overlaps.
	run  bool
	data []byte // payload from off to end
	size int    // memory counted for it
}

// datagram is what has come of one.
type datagram struct {
	key        key
	pieces     []piece // by offset
	head       []byte  // headers before the payload, of the fragment at offset 0
	headIn     *iface.Iface
	first      bool // the fragment at offset 0 is here
	last       bool // the last one is here
	length     int  // of the payload as far as known
	meat       int  // payload bytes here
	ecn        uint8
	maxSize    int
	maxDF      int
	nextHdr    int // IPv6: offset of the field that names the fragment header
	fragHdr    int // IPv6: offset of the fragment header in head
	rid        uint32
	deadline   int64
	prev, next *datagram // in order of deadline, within the pool
}

// pool is datagrams that share limits.
type pool struct {
	rules       Rules
	mem         int
	first, last *datagram
}

// peer counts the fragments that one source sent.
type peer struct {
	rid  uint32
	refs int
}

// Queue holds the fragments of one machine.
type Queue struct {
	pools [3]pool // IPv4, IPv6 conntrack, IPv6 delivery
	open  map[key]*datagram
	peers map[packet.Addr]*peer
}

// New makes an empty queue.
func New(c Config) *Queue {
	q := &Queue{open: make(map[key]*datagram), peers: make(map[packet.Addr]*peer)}
	q.SetConfig(c)
	return q
}

// SetConfig replaces the limits; the timeout of a datagram stays that of its
// first fragment.
func (q *Queue) SetConfig(c Config) {
	q.pools[0].rules, q.pools[1].rules, q.pools[2].rules = c.V4, c.V6, c.V6Deliver
}

// Len is how many datagrams wait.
func (q *Queue) Len() int { return len(q.open) }

// Memory is the bytes counted for waiting fragments of the family.
func (q *Queue) Memory(f packet.Family) int {
	if f == packet.IPv4 {
		return q.pools[0].mem
	}
	return q.pools[1].mem + q.pools[2].mem
}

func (q *Queue) pool(k *key) *pool {
	switch {
	case k.fam == packet.IPv4:
		return &q.pools[0]
	case k.user != Deliver:
		return &q.pools[1]
	}
	return &q.pools[2]
}

// truesize is about what Linux counts for a received fragment: its buffer,
// rounded up to the allocator's size, and the sk_buff.
func truesize(n int) int {
	n += 64 + 320
	return 1<<bits.Len(uint(n-1)) + 256
}

func (q *Queue) create(k key, now int64) *datagram {
	d := &datagram{key: k}
	q.open[k] = d
	p := q.pool(&k)
	if k.fam == packet.IPv4 && p.rules.MaxDist != 0 {
		pe := q.peers[k.src]
		if pe == nil {
			pe = &peer{}
			q.peers[k.src] = pe
		}
		pe.refs++
	}
	p.append(d, now+p.rules.Timeout)
	return d
}

// kill forgets a datagram.
func (q *Queue) kill(d *datagram) {
	if q.open[d.key] != d {
		return
	}
	delete(q.open, d.key)
	p := q.pool(&d.key)
	p.unlink(d)
	for i := range d.pieces {
		p.mem -= d.pieces[i].size
	}
	if pe := q.peers[d.key.src]; pe != nil && d.key.fam == packet.IPv4 && p.rules.MaxDist != 0 {
		if pe.refs--; pe.refs == 0 {
			delete(q.peers, d.key.src)
		}
	}
}

func (p *pool) append(d *datagram, deadline int64) {
	d.deadline = deadline
	d.prev, d.next = p.last, nil
	if p.last != nil {
		p.last.next = d
	} else {
		p.first = d
	}
	p.last = d
}

func (p *pool) unlink(d *datagram) {
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		p.first = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		p.last = d.prev
	}
}

// tooFar counts a fragment of d's source and reports whether too many of
// other datagrams came since d's last one. Linux: ip_frag_too_far.
func (q *Queue) tooFar(d *datagram, max uint32) bool {
	pe := q.peers[d.key.src]
	if pe == nil || max == 0 {
		return false
	}
	start := d.rid
	pe.rid++
	d.rid = pe.rid
	return len(d.pieces) > 0 && pe.rid-start > max
}

// restart forgets what came of d and gives it a new time. Linux:
// ip_frag_reinit.
func (q *Queue) restart(d *datagram, now int64) {
	p := q.pool(&d.key)
	for i := range d.pieces {
		p.mem -= d.pieces[i].size
	}
	d.pieces, d.head = nil, nil
	d.first, d.last, d.length, d.meat, d.ecn = false, false, 0, 0, 0
	p.unlink(d)
	p.append(d, now+p.rules.Timeout)
}

// Expired is a datagram that was given up because time ran out.
type Expired struct {
	Family packet.Family
	User   User
	Zone   uint16
	// First is the first fragment as it arrived, nil if it never came. It
	// may be kept.
	First []byte
	In    *iface.Iface // where the last fragment arrived
}

// Expire gives up what is due at now and calls f for each, oldest first.
func (q *Queue) Expire(now int64, f func(*Expired)) {
	for i := range q.pools {
		p := &q.pools[i]
		for p.first != nil && p.first.deadline <= now {
			d := p.first
			q.kill(d)
			e := Expired{Family: d.key.fam, User: d.key.user, Zone: d.key.zone, In: d.headIn}
			if d.first {
				e.First = append(append([]byte(nil), d.head...), d.pieces[0].data...)
			}
			f(&e)
		}
	}
}

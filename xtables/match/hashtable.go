package match

import (
	"math"

	"weir/packet"
)

// hashKey is what a table of -m hashlimit keeps a bucket under; what the mode
// leaves out is zero.
type hashKey struct {
	src, dst     packet.Addr
	sport, dport uint16
}

// hashEntry is a bucket. Ticks are of 4 ms.
type hashEntry struct {
	key     hashKey
	expires int64 // tick
	prev    int64 // tick of the last refill, or of the interval's beginning

	credit, cap, cost uint64

	current, rate, burst uint64 // of rate-match
	over                 bool   // the interval before was beyond the rate

	older, newer *hashEntry // by expiry
}

// hashTable is a table of -m hashlimit. Entries go when the collector, which
// runs at fixed ticks, finds them expired, as in Linux; since every use renews
// an entry by the same time, the list by use is the list by expiry.
type hashTable struct {
	family         packet.Family
	name           string
	cfg            hashConfig
	entries        map[hashKey]*hashEntry
	oldest, newest *hashEntry
	started        bool
	base           int64 // tick from which the collector counts
}

// Sizes of a machine with more than 1 GiB.
const hashDefaultSize = 8192

func newHashTable(cfg hashConfig) *hashTable {
	if cfg.size == 0 {
		cfg.size = hashDefaultSize
	}
	if cfg.max == 0 {
		cfg.max = 8 * cfg.size
	}
	cfg.max = max(cfg.max, cfg.size)
	return &hashTable{cfg: cfg, entries: make(map[hashKey]*hashEntry)}
}

// Credits of a tick: in packets the largest power of two that lets a day fit
// into 64 bits, in bytes the one that lets a second fit into 32.
const (
	hashPerTick   = 1 << 39
	hashPerPacket = hz * hashPerTick / hashScale
	bytePerTick   = 1 << 24
	byteSecond    = hz * bytePerTick
)

// packetCredits is a period as credit, with Linux's overflow.
func packetCredits(user uint64) uint64 { return user * hashPerPacket }

// byteCredits is what a chunk of 16 bytes costs.
func byteCredits(cost uint64) uint64 { return uint64(uint32(cost)) * byteSecond >> 32 }

// hashTicks is milliseconds in whole ticks, rounded up; more than 31 bits is
// forever.
func hashTicks(ms uint32) int64 {
	if ms > math.MaxInt32 {
		return math.MaxInt64 >> 2
	}
	return (int64(ms) + 3) / 4
}

// touch finds or makes the bucket of a key and refills it; nil if the table is
// full.
func (t *hashTable) touch(k hashKey, tick int64) *hashEntry {
	t.collect(tick)
	e := t.entries[k]
	if e != nil {
		t.unlink(e)
		e.refill(&t.cfg, tick)
	} else {
		if len(t.entries) >= int(t.cfg.max) {
			return nil
		}
		e = &hashEntry{key: k}
		e.fill(&t.cfg, tick)
		t.entries[k] = e
	}
	e.expires = tick + hashTicks(t.cfg.expire)
	t.push(e)
	return e
}

// collect removes what had expired when the collector ran last.
func (t *hashTable) collect(tick int64) {
	if !t.started {
		t.started, t.base = true, tick
	}
	every := hashTicks(t.cfg.gc)
	ran := t.base + (tick-t.base)/every*every
	for t.oldest != nil && t.oldest.expires <= ran {
		e := t.oldest
		t.unlink(e)
		delete(t.entries, e.key)
	}
}

func (t *hashTable) push(e *hashEntry) {
	e.older, e.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = e
	} else {
		t.oldest = e
	}
	t.newest = e
}

func (t *hashTable) unlink(e *hashEntry) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		t.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		t.newest = e.older
	}
}

// fill starts a bucket. Linux: rateinfo_init.
func (e *hashEntry) fill(c *hashConfig, tick int64) {
	e.prev = tick
	switch {
	case c.rateMatch && c.bytes:
		e.rate = costBytes(uint64(uint32(c.avg)))
		e.burst = e.rate * max(c.burst, 1)
	case c.rateMatch:
		e.rate = hashScale / c.avg
		e.burst = e.rate + c.burst
	case c.bytes:
		e.credit, e.cost, e.cap = byteSecond, byteCredits(c.avg), c.burst
	default:
		e.credit, e.cost = packetCredits(c.avg*c.burst), packetCredits(c.avg)
		e.cap = e.credit
	}
}

// refill gives credit for the time since. Linux: rateinfo_recalc.
func (e *hashEntry) refill(c *hashConfig, tick int64) {
	if tick <= e.prev {
		return
	}
	gone := uint64(tick - e.prev)
	if c.rateMatch {
		if interval := c.interval * hz; gone >= interval {
			e.prev = tick
			e.over = e.current*interval > gone*e.rate
			e.current = 0
		}
		return
	}
	e.prev = tick
	limit, each := e.cap, uint64(hashPerTick)
	if c.bytes {
		limit, each = byteSecond, bytePerTick
	}
	had := e.credit
	if e.credit += gone * each; e.credit > limit || c.bytes && e.credit <= had {
		e.credit = limit
	}
}

// pay takes the price of a packet of so many bytes and reports whether the
// bucket had it.
func (e *hashEntry) pay(c *hashConfig, size int) bool {
	if c.rateMatch {
		price := uint64(1)
		if c.bytes {
			price = uint64(size)
		}
		e.current += price
		return !e.over && e.current <= e.burst
	}
	price := e.cost
	if c.bytes {
		price = min(uint64(size>>4+1)*e.cost, byteSecond)
		if e.credit < price && e.cap > 0 {
			e.cap--
			e.credit = byteSecond
		}
	}
	if e.credit < price {
		return false
	}
	e.credit -= price
	return true
}

package match

import "weir/packet"

// recentKey is an address of a list, which rules of both families may share.
type recentKey struct {
	addr   packet.Addr
	family packet.Family
}

// recentEntry is an address of a list with a ring of the times when it was
// seen, in ticks.
type recentEntry struct {
	recentKey
	ttl    uint8
	stamps []int64
	next   int // where the next stamp goes
	older  *recentEntry
	newer  *recentEntry
}

// recentList is a list of -m recent, with the sizes of the kernel's module:
// 100 addresses, and as many stamps as a power of two above the hits asked for.
type recentList struct {
	name           string
	mask           packet.Addr
	entries        map[recentKey][]*recentEntry
	n              int
	stamps         int
	oldest, newest *recentEntry
}

const (
	recentAddrs  = 100
	recentStamps = 32
)

func newRecentList(mask packet.Addr) *recentList {
	return &recentList{mask: mask, entries: make(map[recentKey][]*recentEntry), stamps: recentStamps}
}

// room makes space for so many stamps; growing forgets what is there.
func (l *recentList) room(hits uint32) {
	n := l.stamps
	for n <= int(hits) {
		n *= 2
	}
	if n > l.stamps {
		l.stamps = min(n, 65535)
		l.n, l.oldest, l.newest = 0, nil, nil
		clear(l.entries)
	}
}

// last is when the address was seen last.
func (e *recentEntry) last() int64 { return e.stamps[(e.next-1+len(e.stamps))%len(e.stamps)] }

// find is the entry of an address; a TTL of 0, here or there, is any.
func (l *recentList) find(a recentKey, ttl uint8) *recentEntry {
	for _, e := range l.entries[a] {
		if ttl == 0 || e.ttl == 0 || e.ttl == ttl {
			return e
		}
	}
	return nil
}

func (l *recentList) add(a recentKey, ttl uint8, tick int64) {
	if l.n >= recentAddrs {
		l.remove(l.oldest)
	}
	e := &recentEntry{recentKey: a, ttl: ttl, stamps: []int64{tick}, next: 1}
	l.entries[a] = append(l.entries[a], e)
	l.n++
	l.push(e)
}

func (l *recentList) push(e *recentEntry) {
	e.older, e.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
}

func (l *recentList) unlink(e *recentEntry) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		l.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		l.newest = e.older
	}
}

func (l *recentList) remove(e *recentEntry) {
	l.unlink(e)
	l.n--
	have := l.entries[e.recentKey]
	for i := range have {
		if have[i] == e {
			have = append(have[:i], have[i+1:]...)
			break
		}
	}
	if len(have) == 0 {
		delete(l.entries, e.recentKey)
	} else {
		l.entries[e.recentKey] = have
	}
}

// touch stamps an entry and makes it the newest.
func (l *recentList) touch(e *recentEntry, tick int64) {
	e.next %= l.stamps
	if e.next < len(e.stamps) {
		e.stamps[e.next] = tick
	} else {
		e.stamps = append(e.stamps, tick)
	}
	e.next++
	l.unlink(e)
	l.push(e)
}

// reapOldest drops the entry that was touched longest ago if its last stamp is
// older than since; not the one that is about to be touched.
func (l *recentList) reapOldest(since int64, current *recentEntry, touching bool) {
	e := l.oldest
	if e == nil || e == current && touching {
		return
	}
	if since > e.last() {
		l.remove(e)
	}
}

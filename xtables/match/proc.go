package match

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"weir/packet"
	"weir/xtables/args"
)

// What /proc/net/xt_recent and /proc/net/ipt_hashlimit show, out and in.

// appendProcAddr writes an address as the kernel does in these files: IPv6 in
// full.
func appendProcAddr(b []byte, f packet.Family, a packet.Addr) []byte {
	if f == packet.IPv4 {
		return a.IP(f).AppendTo(b)
	}
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			b = append(b, ':')
		}
		b = args.Hex16(b, uint16(a[i])<<8|uint16(a[i+1]))
	}
	return b
}

// procAddr reads an address of such a file.
func procAddr(s string) (recentKey, bool) {
	f := packet.IPv4
	if strings.Contains(s, ":") {
		f = packet.IPv6
	}
	a, ok := args.Strict(f, s)
	return recentKey{a, f}, ok
}

// procLines calls read with the words of each line, and the column of each,
// until one cannot be read.
func procLines(text []byte, read func(words []string, cols []int) (col int, msg string)) (line, col int, msg string) {
	n := 0
	for l := range strings.Lines(string(text)) {
		n++
		l = strings.TrimRight(l, "\r\n")
		var words []string
		var cols []int
		for at := 0; at < len(l); {
			end := at
			for end < len(l) && l[end] != ' ' {
				end++
			}
			if end > at {
				words, cols = append(words, l[at:end]), append(cols, at+1)
			}
			at = end + 1
		}
		if len(words) == 0 {
			continue
		}
		if col, msg := read(words, cols); msg != "" {
			return n, col, msg
		}
	}
	return 0, 0, ""
}

// Path implements xtables.Listed.
func (l *recentList) Path() (dir, name string) { return "xt_recent", l.name }

// AppendProc implements xtables.Listed. The address that was touched longest
// ago comes first; Linux's order is that of a hash.
func (l *recentList) AppendProc(b []byte, now, jiffies int64) []byte {
	add := jiffies - now/nsPerTick
	for e := l.oldest; e != nil; e = e.newer {
		b = appendProcAddr(append(b, "src="...), e.family, e.addr)
		b = strconv.AppendUint(append(b, " ttl: "...), uint64(e.ttl), 10)
		b = strconv.AppendInt(append(b, " last_seen: "...), e.last()+add, 10)
		b = strconv.AppendInt(append(b, " oldest_pkt: "...), int64(e.next), 10)
		for i, s := range e.stamps {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(append(b, ' '), s+add, 10)
		}
		b = append(b, '\n')
	}
	return b
}

// LoadProc implements xtables.Listed.
func (l *recentList) LoadProc(text []byte, now, jiffies int64) (line, col int, msg string) {
	const form = "not a line of xt_recent: src=ADDRESS ttl: N last_seen: N oldest_pkt: N N, N…"
	take := jiffies - now/nsPerTick
	fresh := newRecentList(l.mask)
	fresh.stamps = l.stamps
	var all []*recentEntry
	line, col, msg = procLines(text, func(w []string, cols []int) (int, string) {
		if len(w) < 8 || !strings.HasPrefix(w[0], "src=") || w[1] != "ttl:" || w[3] != "last_seen:" || w[5] != "oldest_pkt:" {
			return 1, form
		}
		key, ok := procAddr(w[0][4:])
		if !ok {
			return cols[0] + 4, strconv.Quote(w[0][4:]) + " is not an address"
		}
		ttl, err := strconv.ParseUint(w[2], 10, 8)
		if err != nil {
			return cols[2], strconv.Quote(w[2]) + " is not a TTL"
		}
		e := &recentEntry{recentKey: key, ttl: uint8(ttl)}
		for i := 7; i < len(w); i++ {
			n, err := strconv.ParseInt(strings.TrimSuffix(w[i], ","), 10, 63)
			if err != nil {
				return cols[i], strconv.Quote(w[i]) + " is not a time in jiffies"
			}
			e.stamps = append(e.stamps, n-take)
		}
		next, err := strconv.Atoi(w[6])
		switch {
		case len(e.stamps) > l.stamps:
			return cols[7], "more packets than the " + strconv.Itoa(l.stamps) + " that the rules of this list remember"
		case err != nil || next < 1 || next > len(e.stamps):
			return cols[6], strconv.Quote(w[6]) + " is not the place of a packet"
		case fresh.find(key, uint8(ttl)) != nil:
			return cols[0] + 4, "this address stands there twice"
		case len(all) == recentAddrs:
			return 1, "a list has at most " + strconv.Itoa(recentAddrs) + " addresses"
		}
		e.next = next
		fresh.entries[key] = append(fresh.entries[key], e)
		all = append(all, e)
		return 0, ""
	})
	if line > 0 {
		return line, col, msg
	}
	slices.SortStableFunc(all, func(a, b *recentEntry) int { return cmp.Compare(a.last(), b.last()) })
	for _, e := range all {
		fresh.push(e)
	}
	l.entries, l.n, l.oldest, l.newest = fresh.entries, len(all), fresh.oldest, fresh.newest
	return 0, 0, ""
}

// Path implements xtables.Listed.
func (t *hashTable) Path() (dir, name string) {
	if t.family == packet.IPv6 {
		return "ip6t_hashlimit", t.name
	}
	return "ipt_hashlimit", t.name
}

// AppendProc implements xtables.Listed. The bucket that was used longest ago
// comes first; Linux's order is that of a hash. As in Linux each is refilled
// before it is shown; here that changes nothing.
func (t *hashTable) AppendProc(b []byte, now, _ int64) []byte {
	tick := now / nsPerTick
	t.collect(tick)
	for at := t.oldest; at != nil; at = at.newer {
		e := *at
		e.refill(&t.cfg, tick)
		b = strconv.AppendInt(b, (e.expires-tick)/hz, 10)
		b = appendProcAddr(append(b, ' '), t.family, e.key.src)
		b = strconv.AppendUint(append(b, ':'), uint64(e.key.sport), 10)
		b = appendProcAddr(append(b, "->"...), t.family, e.key.dst)
		b = strconv.AppendUint(append(b, ':'), uint64(e.key.dport), 10)
		x, y, z := e.credit, e.cap, e.cost
		if t.cfg.rateMatch {
			if x, y, z = t.cfg.interval, e.current, e.rate; e.over {
				x |= 1 << 32
			}
		}
		for _, v := range [...]uint64{x, y, z} {
			b = strconv.AppendUint(append(b, ' '), v, 10)
		}
		b = append(b, '\n')
	}
	return b
}

// LoadProc implements xtables.Listed. What such a file does not say is as in a
// bucket that was refilled at that moment.
func (t *hashTable) LoadProc(text []byte, now, _ int64) (line, col int, msg string) {
	const form = "not a line of ipt_hashlimit: SECONDS ADDRESS:PORT->ADDRESS:PORT N N N"
	tick := now / nsPerTick
	fresh := newHashTable(t.cfg)
	var all []*hashEntry
	line, col, msg = procLines(text, func(w []string, cols []int) (int, string) {
		if len(w) != 5 {
			return 1, form
		}
		left, err := strconv.ParseInt(w[0], 10, 32)
		if err != nil {
			return 1, strconv.Quote(w[0]) + " is not a number of seconds"
		}
		e := &hashEntry{}
		from, to, _ := strings.Cut(w[1], "->")
		var ok, ok2 bool
		if e.key.src, e.key.sport, ok = t.endpoint(from); ok {
			e.key.dst, e.key.dport, ok2 = t.endpoint(to)
		}
		if !ok || !ok2 {
			return cols[1], strconv.Quote(w[1]) + " is not ADDRESS:PORT->ADDRESS:PORT"
		}
		e.fill(&t.cfg, tick)
		var v [3]uint64
		for i := range v {
			if v[i], err = strconv.ParseUint(w[2+i], 10, 64); err != nil {
				return cols[2+i], strconv.Quote(w[2+i]) + " is not a number"
			}
		}
		if t.cfg.rateMatch {
			if v[0]&^(1<<32) != t.cfg.interval || v[2] != e.rate {
				return cols[2], "the rules of this table have another interval or rate"
			}
			e.over, e.current = v[0]>>32 != 0, v[1]
		} else {
			if v[2] != e.cost {
				return cols[4], "the rules of this table have another rate"
			}
			e.credit, e.cap = v[0], v[1]
		}
		switch {
		case fresh.entries[e.key] != nil:
			return cols[1], "this bucket stands there twice"
		case len(all) >= int(t.cfg.max):
			return 1, "the table has room for " + strconv.Itoa(int(t.cfg.max)) + " buckets"
		}
		e.expires = tick + left*hz
		fresh.entries[e.key] = e
		all = append(all, e)
		return 0, ""
	})
	if line > 0 {
		return line, col, msg
	}
	slices.SortStableFunc(all, func(a, b *hashEntry) int { return cmp.Compare(a.expires, b.expires) })
	for _, e := range all {
		fresh.push(e)
	}
	t.entries, t.oldest, t.newest = fresh.entries, fresh.oldest, fresh.newest
	return 0, 0, ""
}

// endpoint reads ADDRESS:PORT of the table's family.
func (t *hashTable) endpoint(s string) (a packet.Addr, port uint16, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return a, 0, false
	}
	a, ok = args.Strict(t.family, s[:i])
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	return a, uint16(n), ok && err == nil
}

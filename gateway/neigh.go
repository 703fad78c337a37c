package gateway

import (
	"sync"
	"time"

	"weir/packet"
)

// The times and bounds are Linux's (net.ipv4.neigh.default).
const (
	neighReachable = 30 * time.Second // base_reachable_time
	neighRetry     = time.Second      // retrans_time
	neighProbes    = 3                // mcast_solicit, ucast_solicit
	neighUnused    = 60 * time.Second // gc_stale_time
	neighMax       = 1024             // gc_thresh3
	neighWaiting   = 100              // packets for one neighbour; Linux bounds their bytes
)

// hop is a neighbour's address.
type hop struct {
	addr packet.Addr
	fam  packet.Family
}

// neighbour is what is known of one.
type neighbour struct {
	mac   MAC
	known bool // mac holds
	// confirmed is when the neighbour answered last, used when it was sent to,
	// asked when it was asked, in ns; asks is how often since it answered.
	confirmed, used, asked int64
	asks                   int
	waiting                []Packet // copies
}

// question is a neighbour to ask for: unicast to mac if that is known.
type question struct {
	hop  hop
	mac  MAC
	uni  bool
	data []byte // the packet that is waiting, for its source
}

// neighbours is the table of one link.
type neighbours struct {
	mu   sync.Mutex
	list map[hop]*neighbour
	// lost counts packets whose neighbour did not answer.
	lost uint64
}

func (n *neighbours) init() { n.list = map[hop]*neighbour{} }

// use finds the link address for a packet that is sent now. Without one the
// packet is copied and waits. ask, if not nil, is a question to ask.
func (n *neighbours) use(h hop, b *Packet, now int64) (mac MAC, ok bool, ask *question) {
	n.mu.Lock()
	defer n.mu.Unlock()
	x := n.list[h]
	if x == nil {
		if len(n.list) >= neighMax && !n.collect(now, true) {
			n.lost++
			return mac, false, nil
		}
		x = &neighbour{confirmed: now}
		n.list[h] = x
	}
	x.used = now
	if x.known {
		if now-x.confirmed > int64(neighReachable) && now-x.asked > int64(neighRetry) && x.asks < neighProbes {
			ask = x.question(h, nil, now)
		}
		return x.mac, true, ask
	}
	if len(x.waiting) == neighWaiting {
		x.waiting = append(x.waiting[:0], x.waiting[1:]...) // the oldest goes, as in Linux
		n.lost++
	}
	c := *b
	c.Data = append([]byte(nil), b.Data...)
	x.waiting = append(x.waiting, c)
	if x.asks == 0 {
		ask = x.question(h, c.Data, now)
	}
	return mac, false, ask
}

func (x *neighbour) question(h hop, data []byte, now int64) *question {
	x.asked = now
	x.asks++
	return &question{hop: h, mac: x.mac, uni: x.known, data: data}
}

// learn notes the link address of a neighbour. create: also of one that nobody
// asked for. override: also if another address is known. solicited: the
// neighbour answered. It returns the packets that waited.
func (n *neighbours) learn(h hop, mac MAC, create, override, solicited bool, now int64) []Packet {
	n.mu.Lock()
	defer n.mu.Unlock()
	x := n.list[h]
	switch {
	case x == nil && !create, x == nil && len(n.list) >= neighMax && !n.collect(now, true):
		return nil
	case x == nil:
		x = &neighbour{used: now}
		n.list[h] = x
		solicited = false
	case x.known && x.mac != mac && !override:
		return nil
	}
	if !x.known || x.mac != mac || solicited {
		x.asks = 0
	}
	if solicited || !x.known {
		x.confirmed = now
	}
	x.mac, x.known = mac, true
	w := x.waiting
	x.waiting = nil
	return w
}

// tick gives up neighbours that do not answer, asks others again and forgets
// those that nobody uses.
func (n *neighbours) tick(now int64) (asks []*question) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for h, x := range n.list {
		switch {
		case x.asks > 0 && now-x.asked <= int64(neighRetry):
		case x.asks >= neighProbes && x.known:
			x.known, x.asks = false, 0 // it does not answer: the next packet asks all
		case x.asks >= neighProbes:
			n.lost += uint64(len(x.waiting))
			delete(n.list, h)
		case x.asks > 0:
			var data []byte
			if len(x.waiting) > 0 {
				data = x.waiting[0].Data
			}
			asks = append(asks, x.question(h, data, now))
		}
	}
	n.collect(now, false)
	return asks
}

// collect forgets neighbours that were not used for a while; hard: the one that
// was not used longest, if no other. It reports whether there is room.
func (n *neighbours) collect(now int64, hard bool) bool {
	var oldest hop
	var at *neighbour
	for h, x := range n.list {
		if len(x.waiting) > 0 {
			continue
		}
		if now-x.used > int64(neighUnused) {
			delete(n.list, h)
		} else if at == nil || x.used < at.used {
			oldest, at = h, x
		}
	}
	if hard && len(n.list) >= neighMax && at != nil {
		delete(n.list, oldest)
	}
	return len(n.list) < neighMax
}

package synproxy

import (
	"weir/hook"
	"weir/internal/siphash"
	"weir/packet"
)

// Cookies makes and checks the sequence numbers that stand for a half-open
// connection: a keyed hash of its ends, the minute, and a segment size out of
// four (Linux: secure_tcp_syn_cookie, check_tcp_syn_cookie).
type Cookies struct{ keys [2]siphash.Key }

// NewCookies takes its secrets from random.
func NewCookies(random func() uint32) *Cookies {
	c := &Cookies{}
	for i := range c.keys {
		for j := range c.keys[i] {
			c.keys[i][j] = uint64(random())<<32 | uint64(random())
		}
	}
	return c
}

const (
	cookieBits = 24
	cookieMask = 1<<cookieBits - 1
	cookieAge  = 2  // minutes
	perMinute  = 60 // seconds
)

// segments are the segment sizes that a cookie can stand for.
func segments(f packet.Family) [4]uint16 {
	if f == packet.IPv6 {
		return [4]uint16{1220, 1420, 1440, 8940}
	}
	return [4]uint16{536, 1300, 1440, 1460}
}

// minute is Linux's clock of cookies.
func minute(now int64) uint32 { return uint32(now / 1e9 / perMinute) }

func (c *Cookies) hash(e *hook.Ends, count uint32, which int) uint32 {
	var w [4]uint64
	for i := range 8 {
		w[0] = w[0]<<8 | uint64(e.Src[i])
		w[1] = w[1]<<8 | uint64(e.Src[8+i])
		w[2] = w[2]<<8 | uint64(e.Dst[i])
		w[3] = w[3]<<8 | uint64(e.Dst[8+i])
	}
	return uint32(siphash.Sum5(&c.keys[which], w[0], w[1], w[2], w[3], uint64(e.SrcPort)<<48|uint64(e.DstPort)<<32|uint64(count)))
}

// Make implements hook.Cookies.
func (c *Cookies) Make(e *hook.Ends, seq, size uint32, now int64) uint32 {
	n := minute(now)
	return c.hash(e, 0, 0) + seq + n<<cookieBits + (c.hash(e, n, 1)+size)&cookieMask
}

// Check implements hook.Cookies.
func (c *Cookies) Check(e *hook.Ends, seq, cookie uint32, now int64) (size uint32, ok bool) {
	n := minute(now)
	cookie -= c.hash(e, 0, 0) + seq
	age := (n - cookie>>cookieBits) & (1<<(32-cookieBits) - 1)
	if age >= cookieAge {
		return 0, false
	}
	return (cookie - c.hash(e, n-age, 1)) & cookieMask, true
}

// Stamp implements hook.Cookies: milliseconds.
func (c *Cookies) Stamp(now int64) uint32 { return uint32(now / 1e6) }

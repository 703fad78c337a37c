package match

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Hashlimit is -m hashlimit: a bucket for each address, port or both, in named
// tables that outlive rule sets.
func Hashlimit() xtables.MatchExt {
	opt := func(n string, a xtables.Arity) xtables.Option {
		return xtables.Option{Name: "hashlimit-" + n, Args: a, NoInvert: n != "upto" && n != "above"}
	}
	return xtables.MatchExt{
		Name: "hashlimit", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "hashlimit", Args: xtables.OneArg, Alias: "hashlimit-upto"},
			opt("upto", xtables.OneArg), opt("above", xtables.OneArg), opt("burst", xtables.OneArg),
			opt("mode", xtables.OneArg), opt("name", xtables.OneArg),
			opt("srcmask", xtables.OneArg), opt("dstmask", xtables.OneArg),
			opt("htable-size", xtables.OneArg), opt("htable-max", xtables.OneArg),
			opt("htable-expire", xtables.OneArg), opt("htable-gcinterval", xtables.OneArg),
			opt("rate-match", xtables.NoArg), opt("rate-interval", xtables.OneArg),
		},
		Parse: parseHashlimit,
		Doc:   "all options; ticks of 4 ms, tables of the size of a machine with more than 1 GiB",
	}
}

// hashConfig is what a rule says of a table; the rule that comes first decides.
type hashConfig struct {
	byDst, byDstPort, bySrc, bySrcPort bool
	bytes, rateMatch                   bool
	// avg is the time of a packet in 1/hashScale s, or the bytes of a second
	// as the kernel keeps them: see byteCost.
	avg, burst uint64
	interval   uint64 // s, of rate-match
	size, max  uint32
	gc, expire uint32 // ms
	srcBits    int
	dstBits    int
}

const (
	hashScale   = 1_000_000
	hashMaxSize = 1 << 20
	// Tables of limits in bytes keep entries for so many seconds, without and
	// with a burst.
	byteExpire      = 15
	byteExpireBurst = 60
)

type hashlimitMatch struct {
	xtables.Use
	family packet.Family
	name   string
	above  bool
	cfg    hashConfig

	srcMask, dstMask packet.Addr // of the table in use
	table            *hashTable
}

// modeNames are the parts of a key in the order in which they are printed.
func (c *hashConfig) modes() [4]struct {
	name string
	on   *bool
} {
	return [...]struct {
		name string
		on   *bool
	}{{"srcip", &c.bySrc}, {"srcport", &c.bySrcPort}, {"dstip", &c.byDst}, {"dstport", &c.byDstPort}}
}

func parseHashlimit(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	bits := c.Family.Len() * 8
	m := &hashlimitMatch{family: c.Family, cfg: hashConfig{gc: 1000, srcBits: bits, dstBits: bits}}
	if err := args.Need(given, "hashlimit-upto", "hashlimit-above"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "hashlimit-upto", "hashlimit-above"); err != nil {
		return nil, err
	}
	if err := args.Need(given, "hashlimit-name"); err != nil {
		return nil, err
	}
	cfg := &m.cfg
	unit := uint64(1) // s
	var burst, expire *xtables.Given
	for i := range given {
		g := &given[i]
		var err error
		var n uint64
		switch s := args.Text(g); g.Name {
		case "hashlimit-upto", "hashlimit-above":
			m.above = (g.Name == "hashlimit-above") != g.Invert
			unit, err = cfg.rate(g)
		case "hashlimit-burst":
			burst = g
		case "hashlimit-mode":
			err = cfg.mode(g)
		case "hashlimit-name":
			if m.name = args.Cut(s, 254); s == "" || strings.Contains(s, "/") || s == "." || s == ".." {
				err = args.Bad(g, "the name of a table")
			}
		case "hashlimit-srcmask", "hashlimit-dstmask":
			n, ok := args.PrefixLen(c.Family, s)
			switch {
			case !ok || c.Family == packet.IPv4 && n == bits && strings.Count(s, ".") == 0 && !whole(s, bits):
				err = args.Bad(g, "a mask or a prefix length")
			case g.Name == "hashlimit-srcmask":
				cfg.srcBits = n
			default:
				cfg.dstBits = n
			}
		case "hashlimit-htable-size":
			n, err = args.Uint(g, 0, math.MaxUint32)
			cfg.size = uint32(min(n, hashMaxSize))
		case "hashlimit-htable-max":
			n, err = args.Uint(g, 0, math.MaxUint32)
			cfg.max = uint32(min(n, hashMaxSize))
		case "hashlimit-htable-expire":
			expire = g
			n, err = args.Uint(g, 1, math.MaxUint32)
			cfg.expire = uint32(n)
		case "hashlimit-htable-gcinterval":
			n, err = args.Uint(g, 1, math.MaxUint32)
			cfg.gc = uint32(n)
		case "hashlimit-rate-match":
			cfg.rateMatch = true
		case "hashlimit-rate-interval":
			if n := int32(leadingInt(s)); n <= 0 {
				err = args.Bad(g, "a number of seconds")
			} else {
				cfg.interval = uint64(n)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if err := cfg.setBurst(burst); err != nil {
		return nil, err
	}
	if expire == nil {
		cfg.expire = cfg.lifetime(unit)
	}
	cfg.perInterval(unit)
	if !cfg.fits() {
		return nil, errors.New("rate and burst are beyond what the kernel can count")
	}
	m.use(newHashTable(m.cfg))
	m.table.family, m.table.name = m.family, m.name
	return m, nil
}

// whole reports that s is the number n.
func whole(s string, n int) bool {
	_, ok := args.Number(s, uint64(n), uint64(n))
	return ok
}

// rate reads a rate of packets or bytes; unit is its time in seconds.
func (c *hashConfig) rate(g *xtables.Given) (unit uint64, err error) {
	s := args.Text(g)
	if n, factor, ok := byteRate(s); ok {
		avg, ok := byteCost(n * factor)
		if !ok {
			return 0, args.Bad(g, "a rate that the kernel can count")
		}
		c.bytes, c.avg = true, avg
		return 1, nil
	}
	num, name, has := strings.Cut(s, "/")
	unit = 1
	switch {
	case !has || name != "" && args.Prefix("second", name):
	case name != "" && args.Prefix("minute", name):
		unit = 60
	case name != "" && args.Prefix("hour", name):
		unit = 3600
	case name != "" && args.Prefix("day", name):
		unit = secPerDay
	default:
		return 0, args.Bad(g, "a rate such as 5/second, minute, hour, day, or 512kb/s")
	}
	n := int32(leadingInt(num))
	if n <= 0 {
		return 0, args.Bad(g, "a rate such as 5/second")
	}
	if c.avg = hashScale * unit / uint64(n); c.avg == 0 {
		return 0, args.Errorf(g, "--%s: %q is too fast", g.Name, s)
	}
	return unit, nil
}

// byteRate reads "NUMBER[k|m]b/s"; iptables looks for the unit anywhere.
func byteRate(s string) (n, factor uint64, ok bool) {
	switch {
	case strings.Contains(s, "kb/s"):
		factor = 1 << 10
	case strings.Contains(s, "mb/s"):
		factor = 1 << 20
	case strings.Contains(s, "b/s"):
		factor = 1
	default:
		return 0, 0, false
	}
	for _, c := range strings.TrimLeft(s, " \t") {
		if c < '0' || c > '9' {
			break
		}
		if n > (math.MaxUint64-9)/10 {
			n = math.MaxUint64
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n, factor, n != 0
}

// byteCost is a number of bytes a second as the kernel keeps it: how much of
// 2^32 a chunk of 16 bytes costs. false where iptables divides by zero.
func byteCost(bytes uint64) (uint64, bool) {
	r := uint32(bytes>>4) + 1
	if r == 0 {
		return 0, false
	}
	return uint64(math.MaxUint32 / r), true
}

// costBytes is the number of bytes that a cost stands for.
func costBytes(cost uint64) uint64 {
	r := uint64(math.MaxUint32)
	if cost != 0 {
		r = math.MaxUint32 / cost
	}
	return (r - 1) << 4
}

func (c *hashConfig) mode(g *xtables.Given) error {
	n := 0
	for _, w := range strings.Split(args.Text(g), ",") {
		known := w == ""
		for _, mode := range c.modes() {
			if mode.name == w {
				*mode.on, known = true, true
				n++
			}
		}
		if !known {
			return args.Errorf(g, "--hashlimit-mode: %q is not srcip, srcport, dstip or dstport", w)
		}
	}
	if n == 0 {
		return args.Bad(g, "a list of srcip, srcport, dstip and dstport")
	}
	return nil
}

// setBurst reads the burst: packets, or bytes that are kept as whole seconds
// of the rate.
func (c *hashConfig) setBurst(g *xtables.Given) error {
	if g == nil {
		if !c.bytes {
			c.burst = 5
		}
		return nil
	}
	v, rest, ok := args.NumberPrefix(args.Text(g), 1, math.MaxUint64)
	if !ok {
		return args.Bad(g, "a burst")
	}
	switch {
	case strings.HasPrefix(rest, "k"):
		v <<= 10
	case strings.HasPrefix(rest, "m"):
		v <<= 20
	}
	if !c.bytes {
		if v < 1 || v > 1_000_000 {
			return args.Bad(g, "a burst from 1 to 1000000 packets")
		}
		c.burst = v
		return nil
	}
	second := costBytes(c.avg)
	v &= math.MaxUint32
	if second == 0 || v < second {
		return args.Errorf(g, "--hashlimit-burst: must not be smaller than the %d bytes of a second", second)
	}
	c.burst = (v + second - 1) / second
	return nil
}

// lifetime is how many ms entries live unless a rule says it.
func (c *hashConfig) lifetime(unit uint64) uint32 {
	switch {
	case !c.bytes:
		return uint32(unit * 1000)
	case c.burst != 0:
		return byteExpireBurst * 1000
	}
	return byteExpire * 1000
}

// perInterval turns a rate of packets into one for each interval, which is
// what rate-match compares.
func (c *hashConfig) perInterval(unit uint64) {
	if !c.rateMatch {
		c.interval = 0
		return
	}
	if !c.bytes {
		c.avg /= unit
		if c.interval == 0 {
			c.interval = unit
		}
	}
	if c.interval == 0 {
		c.interval = 1
	}
}

// fits reports that the kernel's credit does not overflow.
func (c *hashConfig) fits() bool {
	switch {
	case c.rateMatch:
		return c.avg != 0 && c.avg <= math.MaxUint32
	case c.bytes:
		return byteCredits(c.avg) != 0
	}
	return c.burst != 0 && packetCredits(c.avg*c.burst) >= packetCredits(c.avg)
}

// Bind finds the table of that name, with the parameters that it was made
// with, or makes it.
func (m *hashlimitMatch) Bind(s *xtables.Shared) error {
	t := m.Hold(s, "hashlimit/"+m.family.String()+"/"+m.name, m.table).(*hashTable)
	if t.cfg.rateMatch != m.cfg.rateMatch {
		return errors.New("--hashlimit-name: the table of that name is one with and without --hashlimit-rate-match")
	}
	m.use(t)
	return nil
}

func (m *hashlimitMatch) use(t *hashTable) {
	m.table = t
	m.srcMask, m.dstMask = args.MaskOf(m.family, t.cfg.srcBits), args.MaskOf(m.family, t.cfg.dstBits)
}

// key is what the table keeps the packet under; false if its ports cannot be
// read. As in Linux, a later fragment has "ports" too.
func (m *hashlimitMatch) key(p *packet.Packet) (k hashKey, ok bool) {
	cfg := &m.table.cfg
	if cfg.bySrc {
		k.src = p.Src()
		for i := range k.src {
			k.src[i] &= m.srcMask[i]
		}
	}
	if cfg.byDst {
		k.dst = p.Dst()
		for i := range k.dst {
			k.dst[i] &= m.dstMask[i]
		}
	}
	if !cfg.bySrcPort && !cfg.byDstPort {
		return k, true
	}
	proto, off := uint8(0), 0
	if p.Family == packet.IPv4 {
		proto, off = p.Data[9], p.HeaderLen()
	} else if proto, off, _ = packet.SkipExtHdr(p.Data); off < 0 {
		return k, false
	}
	switch proto {
	case packet.TCP, packet.UDP, packet.UDPLite, packet.DCCP, packet.SCTP, packet.ESP:
	case packet.AH:
		off += 4
	default:
		return k, true
	}
	if off+4 > len(p.Data) {
		return k, false
	}
	if cfg.bySrcPort {
		k.sport = binary.BigEndian.Uint16(p.Data[off:])
	}
	if cfg.byDstPort {
		k.dport = binary.BigEndian.Uint16(p.Data[off+2:])
	}
	return k, true
}

// Match follows Linux net/netfilter/xt_hashlimit.c.
func (m *hashlimitMatch) Match(t *hook.Traversal) bool {
	k, ok := m.key(t.Pkt)
	if !ok {
		t.Hotdrop = true
		return false
	}
	e := m.table.touch(k, t.Now/nsPerTick)
	if e == nil {
		t.Hotdrop = true // the table is full
		return false
	}
	return e.pay(&m.cfg, t.Pkt.Len()) != m.above
}

func (m *hashlimitMatch) Explain(t *hook.Traversal) string {
	k, ok := m.key(t.Pkt)
	if !ok {
		return "the packet has no ports to read"
	}
	e := m.table.entries[k]
	switch {
	case e == nil:
		return "the table is full"
	case m.cfg.rateMatch:
		return dec(e.current) + " of " + dec(e.rate) + " in this interval"
	}
	return "credit is " + dec(e.credit) + ", a packet costs " + dec(e.cost)
}

func (m *hashlimitMatch) AppendArgs(b []byte) []byte {
	cfg := &m.cfg
	name := "hashlimit-upto"
	if m.above {
		name = "hashlimit-above"
	}
	b = args.Name(b, false, name)
	unit := uint64(1)
	if cfg.bytes {
		b = appendByteRate(b, cfg.avg, cfg.burst)
	} else {
		b, unit = appendPacketRate(b, cfg.avg)
		b = args.Dec(args.Name(b, false, "hashlimit-burst"), cfg.burst)
	}
	sep := " --hashlimit-mode "
	for _, mode := range cfg.modes() {
		if *mode.on {
			b, sep = append(append(b, sep...), mode.name...), ","
		}
	}
	b = xtables.AppendWord(append(args.Name(b, false, "hashlimit-name"), ' '), m.name)
	if cfg.size != 0 {
		b = args.Dec(args.Name(b, false, "hashlimit-htable-size"), uint64(cfg.size))
	}
	if cfg.max != 0 {
		b = args.Dec(args.Name(b, false, "hashlimit-htable-max"), uint64(cfg.max))
	}
	if cfg.gc != 1000 {
		b = args.Dec(args.Name(b, false, "hashlimit-htable-gcinterval"), uint64(cfg.gc))
	}
	if cfg.expire != cfg.lifetime(unit) {
		b = args.Dec(args.Name(b, false, "hashlimit-htable-expire"), uint64(cfg.expire))
	}
	if bits := m.family.Len() * 8; cfg.srcBits != bits {
		b = args.Dec(args.Name(b, false, "hashlimit-srcmask"), uint64(cfg.srcBits))
	}
	if bits := m.family.Len() * 8; cfg.dstBits != bits {
		b = args.Dec(args.Name(b, false, "hashlimit-dstmask"), uint64(cfg.dstBits))
	}
	if cfg.rateMatch {
		b = args.Name(b, false, "hashlimit-rate-match")
		if cfg.interval != 1 {
			b = args.Dec(args.Name(b, false, "hashlimit-rate-interval"), cfg.interval)
		}
	}
	return b
}

// appendByteRate writes bytes a second in the largest unit that reads back to
// the same cost, and the burst in the largest unit that it reaches.
func appendByteRate(b []byte, avg, burst uint64) []byte {
	units := [...]struct {
		name string
		size uint32
	}{{"mb", 1 << 20}, {"kb", 1 << 10}, {"b", 1}}
	r := costBytes(avg)
	for _, u := range units {
		// The mask has 32 bits, as in iptables.
		back, ok := byteCost(r & uint64(^(u.size - 1)))
		if u.size == 1 || r >= uint64(u.size) && ok && back == avg {
			b = append(args.Dec(b, r/uint64(u.size)), u.name...)
			b = append(b, "/s"...)
			break
		}
	}
	if burst == 0 {
		return b
	}
	b = args.Name(b, false, "hashlimit-burst")
	r *= burst
	for _, u := range units {
		if u.size == 1 || r >= uint64(u.size) {
			return append(args.Dec(b, r/uint64(u.size)), u.name...)
		}
	}
	return b
}

// appendPacketRate writes a period as the rate in the unit that fits best;
// unit is its time in seconds.
func appendPacketRate(b []byte, period uint64) ([]byte, uint64) {
	units := [...]struct {
		name string
		sec  uint64
	}{{"day", secPerDay}, {"hour", 3600}, {"min", 60}, {"sec", 1}}
	i := 1
	for ; i < len(units); i++ {
		if m := units[i].sec * hashScale; period > m || m/period < m%period {
			break
		}
	}
	u := units[i-1]
	b = args.Dec(b, u.sec*hashScale/period)
	return append(append(b, '/'), u.name...), u.sec
}

package match

import (
	"math"
	"strconv"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Limit is -m limit: a token bucket, with the arithmetic and the tick of a
// kernel with HZ=250.
func Limit() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "limit", Families: xtables.Both,
		Options: []xtables.Option{
			{Name: "limit", Args: xtables.OneArg, NoInvert: true},
			{Name: "limit-burst", Args: xtables.OneArg, NoInvert: true},
		},
		Parse: parseLimit,
		Doc:   "all options; ticks of 4 ms",
	}
}

const (
	hz         = 250
	nsPerTick  = 1_000_000_000 / hz
	limitScale = 10000 // of a period: 1/10000 s
	// creditsPerTick is the largest power of two that lets a whole day's
	// credit fit into 32 bits.
	creditsPerTick = 128
	secPerDay      = 24 * 60 * 60
)

// limitMatch belongs to one rule of one loaded rule set: loading starts it
// full again, as iptables does.
type limitMatch struct {
	avg, burst uint32 // period of one packet in 1/limitScale s
	cost, cap  uint32

	credit uint32
	prev   int64 // tick of the last evaluation
	ran    bool
}

func parseLimit(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &limitMatch{avg: limitScale * 3600 / 3, burst: 5}
	if g := args.Find(given, "limit"); g != nil {
		avg, msg := period(args.Text(g))
		if msg != "" {
			return nil, args.Errorf(g, "--limit: %s", msg)
		}
		m.avg = avg
	}
	if g := args.Find(given, "limit-burst"); g != nil {
		n, err := args.Uint(g, 0, 10000)
		if err != nil {
			return nil, err
		}
		m.burst = uint32(n)
	}
	m.cost, m.cap = credits(m.avg), credits(m.avg*m.burst)
	if m.burst == 0 || m.cap < m.cost {
		err := &xtables.Error{Msg: "--limit: burst 0, or rate and burst together overflow the kernel's 32-bit credit"}
		if len(given) > 0 {
			err.Pos = given[0].Pos
		}
		return nil, err
	}
	m.credit = m.cap
	return m, nil
}

// period reads "n/unit" as the time of one event in 1/limitScale s; msg is
// what is wrong with it.
func period(s string) (p uint32, msg string) {
	num, unit, has := strings.Cut(s, "/")
	mult := uint32(1)
	if has {
		switch {
		case unit == "":
			return 0, strconv.Quote(s) + " is not a rate"
		case args.Prefix("second", unit):
		case args.Prefix("minute", unit):
			mult = 60
		case args.Prefix("hour", unit):
			mult = 3600
		case args.Prefix("day", unit):
			mult = secPerDay
		default:
			return 0, strconv.Quote(s) + " is not a rate: second, minute, hour or day"
		}
	}
	r := leadingInt(num)
	if r == 0 {
		return 0, strconv.Quote(s) + " is not a rate"
	}
	if p = limitScale * mult / r; p == 0 {
		return 0, strconv.Quote(s) + " is too fast"
	}
	return p, ""
}

// leadingInt is atoi(3) with its result as 32 unsigned bits.
func leadingInt(s string) uint32 {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	n := 0
	if n < len(s) && (s[n] == '-' || s[n] == '+') {
		n++
	}
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	v, _ := strconv.ParseInt(s[:n], 10, 64)
	return uint32(v)
}

// credits is a period as credit (Linux: net/netfilter/xt_limit.c), with its
// overflow of 32 bits.
func credits(user uint32) uint32 {
	if user > math.MaxUint32/(hz*creditsPerTick) {
		return user / limitScale * hz * creditsPerTick
	}
	return user * hz * creditsPerTick / limitScale
}

func (m *limitMatch) Match(t *hook.Traversal) bool {
	tick := t.Now / nsPerTick
	if m.ran && tick > m.prev {
		m.credit = uint32(min(uint64(m.cap), uint64(m.credit)+uint64(tick-m.prev)*creditsPerTick))
	}
	m.ran, m.prev = true, max(tick, m.prev)
	if m.credit < m.cost {
		return false
	}
	m.credit -= m.cost
	return true
}

func (m *limitMatch) Explain(*hook.Traversal) string {
	return "credit is " + dec(uint64(m.credit)) + " of " + dec(uint64(m.cost)) + " for a packet"
}

func (m *limitMatch) AppendArgs(b []byte) []byte {
	b = appendRate(args.Name(b, false, "limit"), m.avg)
	if m.burst != 5 {
		b = args.Dec(args.Name(b, false, "limit-burst"), uint64(m.burst))
	}
	return b
}

// appendRate writes a period as the rate in the unit that fits best.
func appendRate(b []byte, period uint32) []byte {
	units := [...]struct {
		name string
		mult uint32
	}{{"day", secPerDay * limitScale}, {"hour", 3600 * limitScale}, {"min", 60 * limitScale}, {"sec", limitScale}}
	i := 1
	for i < len(units) && period <= units[i].mult && units[i].mult/period >= units[i].mult%period {
		i++
	}
	b = args.Dec(b, uint64(units[i-1].mult/period))
	b = append(b, '/')
	return append(b, units[i-1].name...)
}

// Keep goes on with the credit that is left.
func (m *limitMatch) Keep(before xtables.Match) {
	if o, ok := before.(*limitMatch); ok {
		m.credit, m.prev, m.ran = o.credit, o.prev, o.ran
	}
}

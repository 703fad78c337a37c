package match

import (
	"math"
	"strconv"
	"strings"
	"time"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Time is -m time: when the packet came, by the packet clock in UTC.
func Time() xtables.MatchExt {
	opt := func(n string, a xtables.Arity, noInvert bool) xtables.Option {
		return xtables.Option{Name: n, Args: a, NoInvert: noInvert}
	}
	return xtables.MatchExt{
		Name: "time", Families: xtables.Both,
		Options: []xtables.Option{
			opt("datestart", xtables.OneArg, true), opt("datestop", xtables.OneArg, true),
			opt("timestart", xtables.OneArg, true), opt("timestop", xtables.OneArg, true),
			opt("contiguous", xtables.NoArg, true), opt("monthdays", xtables.OneArg, false),
			opt("weekdays", xtables.OneArg, false), opt("kerneltz", xtables.NoArg, true),
			opt("localtz", xtables.NoArg, true), opt("utc", xtables.NoArg, true),
		},
		Parse: parseTime,
		Doc:   "all options; the time zone of the kernel is UTC",
	}
}

const (
	daySeconds  = 24*60*60 - 1
	lastSecond  = math.MaxInt32 // 2038-01-19T03:14:07
	everyDay    = 0xfe          // bits 1 to 7, Monday first
	everyMonDay = 0xfffffffe    // bits 1 to 31
)

type timeMatch struct {
	from, to       int64 // seconds since the epoch
	dayFrom, dayTo int   // seconds of a day
	weekdays       uint8
	monthdays      uint32
	contiguous     bool
	kernelTZ       bool
}

func weekdayNames() []string { return []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} }

func parseTime(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	for _, two := range [][]string{{"kerneltz", "localtz", "utc"}} {
		if err := args.Apart(given, two...); err != nil {
			return nil, err
		}
	}
	m := &timeMatch{to: lastSecond, dayTo: daySeconds, weekdays: everyDay, monthdays: everyMonDay}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "datestart":
			m.from, err = readDate(g)
		case "datestop":
			m.to, err = readDate(g)
		case "timestart":
			m.dayFrom, err = readClock(g)
		case "timestop":
			m.dayTo, err = readClock(g)
		case "contiguous":
			m.contiguous = true
		case "kerneltz", "localtz":
			m.kernelTZ = true
		case "monthdays":
			err = m.readMonthdays(g)
		case "weekdays":
			err = m.readWeekdays(g)
		}
		if err != nil {
			return nil, err
		}
	}
	if m.contiguous && m.dayFrom <= m.dayTo {
		return nil, args.Errorf(args.Find(given, "contiguous"), "--contiguous needs a --timestop before --timestart")
	}
	return m, nil
}

// readDate reads YYYY[-MM[-DD[Thh[:mm[:ss]]]]] in UTC, up to 2038. Days beyond
// a month's end run into the next.
func readDate(g *xtables.Given) (int64, error) {
	v := [6]int{0, 1, 1, 0, 0, 0}
	max := [6]int{2038, 12, 31, 23, 59, 59}
	seps := "--T::"
	s := args.Text(g)
	for i := range v {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		k, err := strconv.Atoi(s[:n])
		if err != nil || k > max[i] || i == 0 && k < 1970 || (i == 1 || i == 2) && k == 0 {
			break
		}
		if v[i], s = k, s[n:]; s == "" {
			return time.Date(v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], 0, time.UTC).Unix(), nil
		}
		if i == 5 || s[0] != seps[i] {
			break
		}
		s = s[1:]
	}
	return 0, args.Bad(g, "a date YYYY[-MM[-DD[Thh[:mm[:ss]]]]] from 1970 to 2038")
}

// readClock reads hh:mm[:ss] as seconds of a day.
func readClock(g *xtables.Given) (sec int, err error) {
	parts := strings.Split(args.Text(g), ":")
	ok := len(parts) == 2 || len(parts) == 3
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil || n > 59 || i == 0 && n > 23 {
			ok = false
		}
		sec = sec*60 + int(n)
	}
	if !ok {
		return 0, args.Bad(g, "a time hh:mm[:ss]")
	}
	if len(parts) == 2 {
		sec *= 60
	}
	return sec, nil
}

func (m *timeMatch) readMonthdays(g *xtables.Given) error {
	m.monthdays = 0
	for w := range strings.SplitSeq(args.Text(g), ",") {
		if w == "" {
			continue
		}
		n, ok := args.Number(w, 0, 31) // 0 is no day
		if !ok {
			return args.Errorf(g, "--monthdays: no day %q", w)
		}
		m.monthdays |= 1 << n
	}
	if g.Invert {
		m.monthdays ^= everyMonDay
	}
	return nil
}

// readWeekdays reads days by number, 1 is Monday, or by the beginning of their
// names of which two letters count. iptables lets 8 and 9 pass; they name no day.
func (m *timeMatch) readWeekdays(g *xtables.Given) error {
	m.weekdays = 0
words:
	for w := range strings.SplitSeq(args.Text(g), ",") {
		if w == "" {
			continue
		}
		if len(w) == 1 && w[0] >= '1' && w[0] <= '9' {
			if w[0] <= '7' {
				m.weekdays |= 1 << (w[0] - '0')
			}
			continue
		}
		for i, n := range weekdayNames() {
			if w == n || w == n[:2] {
				m.weekdays |= 1 << (i + 1)
				continue words
			}
		}
		return args.Errorf(g, "--weekdays: no day %q", w)
	}
	if g.Invert {
		m.weekdays ^= everyDay
	}
	return nil
}

// Match follows Linux net/netfilter/xt_time.c.
func (m *timeMatch) Match(t *hook.Traversal) bool {
	now := t.Now / 1_000_000_000
	if now < m.from || now > m.to {
		return false
	}
	sec := int(now % 86400)
	if m.dayFrom < m.dayTo {
		if sec < m.dayFrom || sec > m.dayTo {
			return false
		}
	} else {
		if sec < m.dayFrom && sec > m.dayTo {
			return false
		}
		if m.contiguous && sec < m.dayTo {
			now -= 86400 // still the night that began the day before
		}
	}
	days := now / 86400
	weekday := (days+3)%7 + 1 // the epoch was a Thursday
	if m.weekdays&(1<<weekday) == 0 {
		return false
	}
	return m.monthdays == everyMonDay || m.monthdays&(1<<time.Unix(now, 0).UTC().Day()) != 0
}

func (m *timeMatch) Explain(t *hook.Traversal) string {
	return "time is " + time.Unix(t.Now/1_000_000_000, 0).UTC().Format("Mon 2006-01-02T15:04:05")
}

func (m *timeMatch) AppendArgs(b []byte) []byte {
	if m.dayFrom != 0 || m.dayTo != daySeconds {
		b = appendClock(args.Name(b, false, "timestart"), m.dayFrom)
		b = appendClock(args.Name(b, false, "timestop"), m.dayTo)
	}
	if m.monthdays != everyMonDay {
		b = append(args.Name(b, false, "monthdays"), ' ')
		for d, first := 1, true; d <= 31; d++ {
			if m.monthdays&(1<<d) != 0 {
				if !first {
					b = append(b, ',')
				}
				b, first = strconv.AppendInt(b, int64(d), 10), false
			}
		}
	}
	if m.weekdays != everyDay {
		b = append(args.Name(b, false, "weekdays"), ' ')
		first := true
		for i, n := range weekdayNames() {
			if m.weekdays&(2<<i) != 0 {
				if !first {
					b = append(b, ',')
				}
				b, first = append(b, n...), false
			}
		}
	}
	if m.from != 0 {
		b = appendDate(args.Name(b, false, "datestart"), m.from)
	}
	if m.to != math.MaxUint32 {
		b = appendDate(args.Name(b, false, "datestop"), m.to)
	}
	if m.kernelTZ {
		b = args.Name(b, false, "kerneltz")
	}
	if m.contiguous {
		b = args.Name(b, false, "contiguous")
	}
	return b
}

func appendClock(b []byte, sec int) []byte {
	return append(b, time.Unix(int64(sec), 0).UTC().Format(" 15:04:05")...)
}

func appendDate(b []byte, sec int64) []byte {
	return append(b, time.Unix(sec, 0).UTC().Format(" 2006-01-02T15:04:05")...)
}

package target

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/rateest"
)

// RateEst is -j RATEEST: feeds a named rate estimator.
func RateEst() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "RATEEST", Families: xtables.Both,
		Options: one("rateest-name", "rateest-interval", "rateest-ewmalog"),
		Parse:   parseRateEst,
		Doc:     "all options; an estimator begins with its first packet, in Linux when its rule is loaded",
	}
}

type rateEstTarget struct {
	xtables.Use
	name string
	est  *rateest.Estimator
}

func parseRateEst(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "rateest-name"); err != nil {
		return nil, err
	}
	var times [2]uint32
	for i, n := range []string{"rateest-interval", "rateest-ewmalog"} {
		if err := args.Need(given, n); err != nil {
			return nil, err
		}
		g := args.Find(given, n)
		var ok bool
		if times[i], ok = microseconds(args.Text(g)); !ok {
			return nil, args.Bad(g, "a time such as 250ms")
		}
	}
	m := &rateEstTarget{name: args.Cut(args.Text(args.Find(given, "rateest-name")), 15), est: &rateest.Estimator{}}
	for uint64(times[0]) > rateest.Quarter/1000<<m.est.Log {
		if m.est.Log++; m.est.Log > rateest.MaxDoubling {
			return nil, args.Errorf(args.Find(given, "rateest-interval"), "--rateest-interval: at most 8 seconds are allowed")
		}
	}
	if m.est.Weight = weight(times[0], times[1]); m.est.Weight == 0 || m.est.Weight > 30 {
		return nil, args.Errorf(args.Find(given, "rateest-ewmalog"), "--rateest-ewmalog: out of range for that interval")
	}
	return m, nil
}

// weight is the largest n at which an average that takes 2^-n of each interval
// follows within the time; 31 if all do. Times are in µs, the interval as it
// was written.
func weight(interval, within uint32) uint8 {
	for n := uint8(1); n < 31; n++ {
		if float64(interval)/-math.Log(1-1/float64(uint32(1)<<n)) > float64(within) {
			return n - 1
		}
	}
	return 31
}

// microseconds reads a time as iptables does, in 32 bits; without a unit it is
// in microseconds.
func microseconds(s string) (uint32, bool) {
	v, unit, ok := args.Float(s)
	if !ok {
		return 0, false
	}
	switch strings.ToLower(unit) {
	case "s", "sec", "secs":
		v *= 1e6
	case "ms", "msec", "msecs":
		v *= 1e3
	case "", "us", "usec", "usecs":
	default:
		return 0, false
	}
	return args.Low32(v), true
}

// Bind finds the estimator of that name, or makes it.
func (m *rateEstTarget) Bind(s *xtables.Shared) error {
	est := m.Hold(s, rateest.Key(m.name), m.est).(*rateest.Estimator)
	if est.Log != m.est.Log || est.Weight != m.est.Weight {
		return errors.New("--rateest-name: the estimator of that name has another --rateest-interval or --rateest-ewmalog")
	}
	m.est = est
	return nil
}

// Do follows Linux net/netfilter/xt_RATEEST.c.
func (m *rateEstTarget) Do(t *hook.Traversal) xtables.Code {
	m.est.Add(t.Pkt.Len(), t.Now)
	return xtables.Continue
}

func (m *rateEstTarget) AppendArgs(b []byte) []byte {
	interval := uint32(rateest.Quarter/1000) << m.est.Log
	b = args.Word(args.Name(b, false, "rateest-name"), m.name)
	b = appendMicroseconds(args.Name(b, false, "rateest-interval"), interval)
	return appendMicroseconds(args.Name(b, false, "rateest-ewmalog"), interval<<m.est.Weight)
}

// appendMicroseconds writes a time in the largest unit that it has one of.
func appendMicroseconds(b []byte, us uint32) []byte {
	b = append(b, ' ')
	switch {
	case us >= 1e6:
		return append(strconv.AppendFloat(b, float64(us)/1e6, 'f', 1, 64), 's')
	case us >= 1e3:
		return append(strconv.AppendFloat(b, float64(us)/1e3, 'f', 1, 64), "ms"...)
	}
	return append(strconv.AppendUint(b, uint64(us), 10), "us"...)
}

package rateest

// The shortest interval in ns, and how often it may be doubled.
const (
	Quarter     = 250_000_000
	MaxDoubling = 5
)

// scale is the fraction bits of an average.
const scale = 8

// Estimator is one named estimator. The zero value with Log and Weight set is
// ready: its first interval begins with the first packet or question. (Linux
// starts it when the rule is loaded.)
type Estimator struct {
	// Log is how often the interval of a quarter second is doubled: 0 to 5.
	Log uint8
	// Weight is how fast an average follows: an interval counts for 2^-Weight
	// of it. 1 to 30.
	Weight uint8

	bytes, packets average
	started        bool
	next           int64 // ns, end of the interval
}

// average is one of the two averages of an estimator.
type average struct {
	n   uint64 // counted in this interval
	avg uint64 // a second, with scale fraction bits
}

// Add counts a packet of so many bytes at now, in ns.
func (e *Estimator) Add(size int, now int64) {
	e.advance(now)
	e.bytes.n += uint64(size)
	e.packets.n++
}

// Rates is what the estimator knows at now, in ns: bytes and packets a second.
func (e *Estimator) Rates(now int64) (bytes, packets uint64) {
	e.advance(now)
	return e.bytes.avg >> scale, e.packets.avg >> scale
}

// advance ends the intervals that are over.
func (e *Estimator) advance(now int64) {
	every := int64(Quarter) << e.Log
	if !e.started {
		e.started, e.next = true, now+every
	}
	if now < e.next {
		return
	}
	n := uint64(now-e.next)/uint64(every) + 1
	e.next += int64(n) * every
	for _, a := range [...]*average{&e.bytes, &e.packets} {
		a.avg += a.n<<(10-e.Log)>>e.Weight - a.avg>>e.Weight
		a.n = 0
		a.decay(n-1, e.Weight)
	}
}

// decay lets n intervals pass in which nothing was counted. As long as the
// average loses the same each time, it does so in one step.
func (a *average) decay(n uint64, weight uint8) {
	for n > 0 {
		loss := a.avg >> weight
		if loss == 0 {
			return
		}
		k := min(n, (a.avg-loss<<weight)/loss+1)
		a.avg -= k * loss
		n -= k
	}
}

// Key is the name under which the rules of a machine share an estimator. Those
// of both families share it.
func Key(name string) string { return "rateest/" + name }

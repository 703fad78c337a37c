package hook

// Point is one of netfilter's five places in a packet's way through a machine.
type Point uint8

// The hook points, with Linux's numbers (NF_INET_*).
const (
	Prerouting Point = iota
	Input
	Forward
	Output
	Postrouting
	NumPoints
)

// String is the chain name of the point.
func (p Point) String() string {
	switch p {
	case Prerouting:
		return "PREROUTING"
	case Input:
		return "INPUT"
	case Forward:
		return "FORWARD"
	case Output:
		return "OUTPUT"
	case Postrouting:
		return "POSTROUTING"
	default:
		return "?"
	}
}

// Mask is a set of points.
type Mask uint8

// MaskOf makes a set.
func MaskOf(ps ...Point) (m Mask) {
	for _, p := range ps {
		m |= 1 << p
	}
	return m
}

// Has reports whether the set holds p.
func (m Mask) Has(p Point) bool { return m&(1<<p) != 0 }

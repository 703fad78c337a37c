package xtables

import (
	"cmp"
	"slices"
)

// HZ is the kernel's ticks (jiffies) in a second, NsPerTick the ns in one.
const (
	HZ        = 250
	NsPerTick = 1_000_000_000 / HZ
)

// Listed is named state that Linux shows as a file below /proc/net.
type Listed interface {
	// Path is the file: directory and name.
	Path() (dir, name string)
	// AppendProc writes what the file shows at now, in ns. jiffies is what the
	// kernel's tick counter stands at then.
	AppendProc(b []byte, now, jiffies int64) []byte
	// LoadProc puts what a file showed into the state's place. If it cannot
	// be read, line and col say where, from 1, and msg why.
	LoadProc(text []byte, now, jiffies int64) (line, col int, msg string)
}

// Listed is the named state that rules hold and Linux shows, in the order of its
// paths.
func (s *Shared) Listed() (list []Listed) {
	for _, n := range s.named {
		if l, ok := n.state.(Listed); ok {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b Listed) int {
		x, n := a.Path()
		y, m := b.Path()
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(n, m))
	})
	return list
}

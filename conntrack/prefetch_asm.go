//go:build amd64 || arm64

package conntrack

// prefetch asks for a cache line for each of n structures, whose address
// stands in a field of theirs: first is that of the first structure, stride
// their size. It does not wait for the lines, and any address will do. Go has
// no word for it: an ordinary read would hold up what comes behind it.
//
//go:noescape
func prefetch(first *uintptr, stride uintptr, n int)

// prefetch3 is prefetch for three lines of each.
//
//go:noescape
func prefetch3(first *[3]uintptr, stride uintptr, n int)

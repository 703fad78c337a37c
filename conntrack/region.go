package conntrack

import (
	"runtime"
	"unsafe"
)

// regions hands out the memory of a table's big parts: connections, their
// counters, buckets. A small table lives on Go's heap. What grows beyond lies
// outside of it where the system allows (region_linux.go), so that garbage
// collection costs the same whatever the number of connections, and in huge
// pages where there are some, so that a look at a connection misses no TLB. It
// goes back to the system when the table is garbage: a *Conn must not be used
// longer than its table.
type regions struct {
	heap  uintptr // bytes taken from Go's heap so far
	left  []byte  // of the newest region
	size  uintptr // of the newest region
	owned *[]region
}

// region is memory from the system, as it came.
type region []byte

const (
	// heapPart is how much of a table Go's heap takes first.
	heapPart = 1 << 20
	// Regions grow from the first size to the last.
	firstRegion = 4 << 20
	lastRegion  = 64 << 20
	hugePage    = 2 << 20
)

// newRegions makes an allocator for tb.
func newRegions(tb *Table) regions {
	r := regions{owned: new([]region)}
	runtime.AddCleanup(tb, func(owned *[]region) {
		for _, m := range *owned {
			unmap(m)
		}
	}, r.owned)
	return r
}

// alloc is a new T of zeroes. T has no pointers and fits the first region.
func alloc[T any](r *regions) *T {
	size := (unsafe.Sizeof(*new(T)) + 63) &^ 63
	if r.heap < heapPart || !mapped {
		r.heap += size
		return new(T)
	}
	if uintptr(len(r.left)) < size && !r.grow() {
		return new(T)
	}
	p := (*T)(unsafe.Pointer(&r.left[0]))
	r.left = r.left[size:]
	return p
}

// grow takes another region from the system, if it gives one.
func (r *regions) grow() bool {
	size := min(max(2*r.size, firstRegion), lastRegion)
	m := mapRegion(int(size + hugePage))
	if m == nil {
		return false
	}
	*r.owned = append(*r.owned, m)
	skip := -uintptr(unsafe.Pointer(&m[0])) & (hugePage - 1)
	r.left, r.size = m[skip:skip+size], size
	preferHuge(r.left)
	return true
}

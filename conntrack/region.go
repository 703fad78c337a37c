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
	cold  []byte  // the end of left that was not fetched
	next  []byte  // the region behind it, if it is there already
	size  uintptr // of the region that was taken last
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
	r.fetch()
	return p
}

// fetch has the system give the page behind the one that is being filled, and
// the region behind the last page: a page's first touch takes tens of
// microseconds, milliseconds where a hypervisor has to find memory first, for
// which no packet should wait.
func (r *regions) fetch() {
	if len(r.left) > len(r.cold)+hugePage/2 {
		return
	}
	if len(r.cold) == 0 {
		if r.next == nil {
			r.next = r.take()
			if r.next != nil {
				go populate(r.next[:hugePage])
			}
		}
		return
	}
	n := len(r.cold) - min(hugePage, len(r.cold))
	go populate(r.cold[:len(r.cold)-n])
	r.cold = r.cold[len(r.cold)-n:]
}

// grow goes on to another region, if the system gives one.
func (r *regions) grow() bool {
	m := r.next
	if m == nil {
		m = r.take()
	}
	if m == nil {
		return false
	}
	r.left, r.cold, r.next = m, m[hugePage:], nil
	return true
}

// take is a region from the system, larger than the one before.
func (r *regions) take() []byte {
	size := min(max(2*r.size, firstRegion), lastRegion)
	m := mapRegion(int(size + hugePage))
	if m == nil {
		return nil
	}
	*r.owned = append(*r.owned, m)
	r.size = size
	skip := -uintptr(unsafe.Pointer(&m[0])) & (hugePage - 1)
	b := m[skip : skip+size]
	preferHuge(b)
	return b
}

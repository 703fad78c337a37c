//go:build linux && !race

package conntrack

import "golang.org/x/sys/unix"

// mapped: big tables live outside of Go's heap. The race detector knows that
// heap only.
const mapped = true

// mapRegion takes n bytes of zeroes from the system; nil if it has none.
func mapRegion(n int) region {
	m, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return m
}

// unmap gives a region back.
func unmap(m region) { _ = unix.Munmap(m) }

// preferHuge asks for huge pages. It is a wish: without them all works.
func preferHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }

// populate has pages of b ready before they are touched, and leaves what is in
// them. Linux before 5.14 cannot.
func populate(b []byte) { _ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) }

//go:build !amd64 && !arm64

package conntrack

// They do nothing here: an ordinary read would wait for what it reads.
func prefetch(first *uintptr, stride uintptr, n int)     {}
func prefetch3(first *[3]uintptr, stride uintptr, n int) {}

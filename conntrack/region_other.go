//go:build !linux || race

package conntrack

const mapped = false

func mapRegion(int) region { return nil }
func unmap(region)         {}
func preferHuge([]byte)    {}
func populate([]byte)      {}

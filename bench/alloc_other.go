//go:build !linux

package main

func lines(n int) (l []line, free func(), err error) { return make([]line, n), func() {}, nil }

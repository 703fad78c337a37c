//go:build !race

package conntrack

const racing = false

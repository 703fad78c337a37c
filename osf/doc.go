// Package osf guesses the operating system of a host by the first segment of
// its connections: the fingerprints of p0f, as pf.os lists them and
// nfnl_osf(8) gives them to the kernel.
//
// Layer 1.
package osf

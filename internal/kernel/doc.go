// Package kernel asks the running Linux kernel what it does with a packet.
//
// A Kernel is a network namespace of its own with TUN devices. Inject writes
// a packet to a device and returns, when the kernel has finished with it,
// what left by every device, the events of connection tracking and the TRACE
// lines. Nothing is waited for: a write to a TUN device without NAPI runs the
// whole receive path before it returns.
//
//	k, err := kernel.New(kernel.Config{Ifaces: …, Rules4: text})
//	defer k.Close()
//	res, err := k.Inject("lan0", packet)
//
// It needs Linux, root and iptables-legacy; elsewhere New returns an error.
// The namespace dies with the Kernel and nothing leaves it.
//
// # Time
//
// The kernel's clock is the wall clock. Advance moves the timeouts of the
// connection table only: the two seconds of UDP streams, rate limits and
// fragment timers stay real time.
//
// # Locks
//
// One goroutine at a time may use a Kernel. Several Kernels run in parallel.
//
// A test aid: only tests and the campaign import it.
package kernel

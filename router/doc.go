// Package router is what surrounds netfilter's five hook points: the checks on
// arrival, the choice of the way, forwarding, local delivery, the packets of
// the machine itself, fragmentation, and ICMP. Both families take one path.
//
// Files in the order in which a packet meets them: router.go (Receive, Send),
// ingress.go, options.go and exthdr.go, forward.go or local.go, output.go,
// fragment.go; icmp.go and answer.go make packets.
//
// # What the machine sends by itself
//
// IPv4 packets that the router makes get their identification from a counter
// per router, starting at 1 (Linux: a random start per destination). IPv6
// packets get flow label 0 (Linux: a hash unless auto_flowlabels is off), and
// the identification of refragmented ones counts in the same way (Linux:
// random).
//
// # Ownership
//
// Bytes handed to the Sink stay valid until the next call of Tick. Call Tick
// before every packet: it moves the clock and takes back that memory.
//
// # Allocation
//
// Forwarding, delivering and answering a packet allocate nothing once the
// router is warm; reassembly does.
//
// Layer 3. One goroutine at a time.
package router

// Package engine is a Linux machine's packet path in one value: interfaces,
// routes, connection tracking, NAT and the tables of iptables, put together
// in netfilter's order.
//
//	m, errs := engine.New(engine.Config{Ifaces: …, Rules4: text})
//	res := m.Receive("lan0", packet.Link{}, bytes, now)
//	for _, o := range res.Out { send(o.Dev, o.Data) }
//
// A Machine reads no clock, no file and no device: time, randomness and
// packets are parameters, so that the same input gives the same bytes.
// Several machines live in one process and share nothing.
//
// # Life cycle
//
// New checks everything and returns every error it finds. Receive and Send
// take one packet each and finish it, with all that the machine sends because
// of it, before they return. SetRules swaps a rule set whole between packets.
//
// # Locks
//
// One goroutine at a time may use a Machine, unless it has Workers: then each of
// them has its own, and all else goes through Machine.Do.
//
// # Allocation
//
// A packet of an established connection allocates nothing. What Result points
// to is valid until the next call.
//
// # Failing closed
//
// The zero Machine drops everything. Every drop carries a hook.Reason and is
// counted; see Machine.Drops.
//
// Layer 8. It adapts mechanisms to hooks and decides nothing itself.
package engine

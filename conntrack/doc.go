// Package conntrack is Linux's connection tracking: it looks each packet up in
// a table of connections, decides what the packet is to its connection, and
// lets a tracker for the protocol judge it.
//
// Track is the way in (nf_conntrack_in), Confirm the way out
// (nf_conntrack_confirm). Between them a new connection exists only for its
// packet; Release throws it away when the packet was dropped.
//
//	out := tb.Track(p, tmpl, &ref, mark, true, now)
//	… rules and NAT look at ref …
//	out = tb.Confirm(&ref, p, now)
//	tb.Release(ref)  // frees what nobody confirmed
//	tb.Reap()        // slots of killed connections may be used again
//
// # Life cycle of a connection
//
// Track creates it unconfirmed. Confirm enters both of its tuples into the
// index. Kill, or the notice of its expiry by a look-up, a listing or Tick,
// marks it dying and takes it out of the index. Its slot stays untouched until
// Reap, so that no packet sees its *Conn change under it.
//
// # Memory
//
// Connections live in chunks without Go pointers that never move or shrink.
// Accounting and time stamps are parallel chunks that exist only when the
// sysctl was on for some connection.
//
// Mappings (mapping.go) are what endpoint-independent NAT needs beyond Linux: the
// outer endpoint that a source keeps. Package nat chooses them.
//
// # Locks
//
// One goroutine at a time may use a Table, beside any number that have a Lane
// each, once it is shared; see lock.go.
//
// # Allocation
//
// Packets of known connections allocate nothing; new ones allocate when a
// chunk is full.
//
// # Time
//
// The clock is a parameter: now is nanoseconds since the Unix epoch and never
// runs backwards.
//
// It does not know hooks, rules or routing, and it rewrites no packet. Layer 1.
package conntrack

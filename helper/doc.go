// Package helper reads the payload of protocols that open further connections,
// such as FTP: a helper expects the connections that its protocol announces, and
// where the announcing connection is translated it writes the announcement anew.
//
// A helper is attached by a rule (-j CT --helper) and sees every packet of its
// connections at the end of the last hook, before confirmation. It may drop a
// packet that it cannot make sense of.
//
// # Who calls
//
// The engine calls Help and Expected; -j CT asks Find.
//
// # Allocation
//
// None for packets that are not rewritten to be longer, and none for connections
// without a helper.
//
// # Locks
//
// None: it belongs to the goroutine of its conntrack.Table.
//
// Layer 4: imports conntrack, hook and nat. It knows no rules. Payloads come
// from strangers: each parser checks every length. Linux:
// net/netfilter/nf_conntrack_helper.c, nf_nat_helper.c and a pair of files for
// each helper.
package helper

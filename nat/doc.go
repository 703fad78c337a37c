// Package nat is Linux's network address translation: it chooses a mapping
// once a connection and side, writes it into the connection's reply tuple, and
// rewrites every packet from the tuples alone. It stores nothing of its own:
// the translation of one direction is the inverse of the other direction's
// tuple. Endpoint-independent mappings, which Linux does not have (mapping.go),
// are a conntrack.Mapping beside that, from which new connections take theirs.
//
// Hook is what runs at a hook point for each packet; Setup, NullBinding,
// Masquerade, Redirect and Netmap are what targets of the nat table do.
//
// # Allocation
//
// None on the path of a packet, unless its walk is traced.
//
// # Locks
//
// None: it belongs to the goroutine of its conntrack.Table.
//
// Layer 3: imports conntrack and hook. It knows neither rules nor routes.
// Linux: net/netfilter/nf_nat_core.c, nf_nat_proto.c, nf_nat_masquerade.c,
// nf_nat_redirect.c, xt_NETMAP.c.
package nat

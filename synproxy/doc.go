// Package synproxy answers for servers until a client has shown that it is
// there: -j SYNPROXY. The SYN of a client is answered with a cookie and nothing
// is kept; who acknowledges the cookie is believed, and only then is the server
// asked. When it has answered, the two halves are joined: from then on the
// server's sequence numbers and time stamps are moved to those that the client
// was given.
//
// Source: Linux net/netfilter/nf_synproxy_core.c, net/ipv4/syncookies.c.
// Layer 4: imports conntrack, hook, packet, siphash.
package synproxy

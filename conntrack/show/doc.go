// Package show writes connections, events and statistics as conntrack(8)
// prints them, byte for byte as conntrack-tools 1.4.7, and as
// /proc/net/nf_conntrack does: as lines, XML and command lines, and beside that
// as JSON. A Printer has the options of conntrack -o.
//
// Append functions add to a buffer and return it; lines end without a newline.
// Nothing here changes a table.
//
// Layer 2.
package show

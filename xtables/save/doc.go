// Package save reads and writes rules as iptables-save prints them and
// iptables-restore reads them.
//
// Parse accepts what iptables-legacy-restore 1.8.9 accepts and refuses what it
// refuses, with these differences: names of hosts and networks are not looked
// up; names of protocols and services come from package names and not from
// /etc; counters are read as with --counters and must be numbers; a quote that
// is not closed is an error; commands that only print (-L, -S, -h, -V) have no
// place in a file. Unlike iptables it reports every error and not the first.
//
// Print and Append write what iptables-legacy-save writes. What they write can
// be read again, and writing that gives the same bytes.
//
// Layer 6.
package save

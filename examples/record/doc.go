//go:build linux

// Command record holds the tools behind record.sh: what a recording needs
// and no Debian package brings. It is Linux only and wants root.
//
//	record capture -i lan0,wan0 -in FILE -out FILE   packets that enter and that leave, until SIGTERM
//	record offload IF...                             checksums and segment sizes as on a real wire
//	record http ADDRESS...                           a small web server
//	record sink PORT                                 a UDP port that swallows what it gets
//	record echo PORT                                 a TCP port that answers with what it gets
//	record scan | flood | fragments | strange | reset  what an attacker sends
//
// None of it is used by weir itself.
package main

// Package control is the door to a machine that runs: HTTP/1.1 with JSON, and
// streams of JSON lines, over a unix socket that only its owner may open. The
// file openapi.yaml beside this one describes every path; a test compares it
// with the routes.
//
//	srv := control.NewServer(target, control.Options{})
//	l, err := control.Listen(path)
//	err = srv.Serve(ctx, l)
//
// A Target is whatever has a machine: the gateway, or Alone in tests. Client is
// the other side, which the command's verbs use.
//
// # Bounds
//
// Connections, streams, bodies, headers, times and results all have a limit. A
// reader that does not take what it asked for is dropped and counted; packets
// never wait for one. Lists of connections are read from the table in pages, so
// that nothing holds the machine for long.
//
// # Locks
//
// One command that changes rules or sets runs at a time. What concerns the
// machine runs within Target.Do; what a listener is told there goes into a
// bounded queue.
//
// Layer 9: imports engine and the languages of iptables, ipset and conntrack.
package control

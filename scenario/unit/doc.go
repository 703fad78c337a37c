// Package unit is unit tests for a firewall: a text names a machine, packets,
// and what has to become of each. docs/testing-rules.md has the language.
//
//	machine ../router
//
//	test The office browses the web
//	    lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S
//	        -> forward out wan0 src 203.0.113.2
//
// Every test begins with a machine that knows no connection.
//
// Layer 11: imports machine, engine, replay, scenario/line.
package unit

// Package scenario reads scenario files and runs them: one file is a machine,
// its rules, some packets and what has to become of them.
//
//	# A comment on top says what there is to learn.
//	-- machine --
//	interfaces: …                       as machine.yaml
//	-- rules.v4 --                      as iptables-save prints them; rules.v6 too
//	-- packets --
//	lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S        see docs/packets.md
//	-- want --
//	1 forward in lan0 ct NEW #1: tcp 192.0.2.10:4000 > 198.51.100.1:443 [S]
//	    FORWARD      filter FORWARD:2 ACCEPT
//	    > wan0 tcp 203.0.113.2:4000 > 198.51.100.1:443 [S] ttl 63
//
// What stands under want was recorded from Linux by "make record": for each
// packet its fate, the rules that matched and the policies that were reached at
// each hook (TRACE), and what left; then the connections and the counters of the
// rules that matched. Rules are named by chain and number, so that an edit above
// does not move them. {1024-65535} is a number that is taken at random. Linux
// does not tell which number a connection has, why it drops what no rule drops,
// and the body of a log line: these are weir's. A line "Not on Linux: why" in the
// comment on top says that Linux cannot be asked; want is then weir's whole.
//
// Run does the same with weir, and Same compares.
//
// A Sheet is the scenario of an extension: many rules, and which of a few packets
// each of them matches.
//
// Layer 11: imports machine, engine, replay, scenario/line.
package scenario

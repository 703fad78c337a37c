// Package linuxdiff runs the same machine and packets through the kernel and
// through weir and compares, packet by packet: the bytes that leave by each
// interface, the events of connection tracking, the rules that TRACE names,
// the reasons of invalid packets; and at the end the connection table, the
// counters of rules and policies, and the statistics.
//
//	r := linuxdiff.NewRunner()
//	defer r.Close()
//	report, err := r.Scenario(seed, 150)    // generated
//	report, err = r.Replay(c)               // a kept case
//
// What Linux chooses at random is not compared: the IP id of packets that it
// makes itself, the id of IPv6 fragments, and a port or ICMP id that NAT picks
// on a clash. The last is taken from the kernel's NEW event and steered into
// weir, which refuses it if it lies outside the range that weir found.
//
// TestScenarios plays the scenario files of testdata so too, and with -record
// writes what Linux did into them.
//
// A scenario ends at its first difference, since everything after follows
// from it. A test aid: only tests and the campaign import it.
package linuxdiff

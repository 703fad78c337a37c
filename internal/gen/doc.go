// Package gen makes machines, rule sets and packets at random, for comparing
// weir with the kernel.
//
//	g := gen.New(seed)
//	c := g.Case                       // machine and rules
//	for i := 0; i < n; i++ {
//		p := g.Next()             // the next packet
//		g.Observe(p, outputs)     // what left the machine because of it
//	}
//
// Every choice comes from the seed. Packets are chosen after seeing what left
// the machine: the generator plays the hosts behind each interface, who
// answer what reaches them, quote it in ICMP errors, or break the rules. Given
// the same outputs it makes the same packets.
//
// A Case is written as text and read back, so that one that shows a
// difference can be kept; Shrink makes it small first.
//
// A test aid: only tests and the campaign import it. Its packet code is its
// own and shares nothing with the engine that it tests.
package gen

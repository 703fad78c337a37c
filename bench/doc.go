// Command bench measures weir beside its peers: the same generated traffic
// through each, in one interleaved run, in thread CPU time.
//
//	cd bench && go run .            # everything, some ten to fifteen minutes
//	cd bench && go run . -quick     # a few minutes less, fewer points
//	cd bench && go run . -only weir,memory -rounds 3 -flows 1000,100000
//
// It writes results.json, prints a table of ratios and, unless -only, -flows
// or -quick is given, writes docs/performance.md and its plots.
//
// # How it measures
//
// Each subject lives in a process of its own and holds its machine between
// measurements; the first process goes round the subjects, so that whatever
// else the computer does meets all of them alike. A measurement builds a
// batch of packets, which is not timed, and pushes the batch through, which
// is. What is counted is the CPU time of the thread that pushes; the median
// of the rounds is reported.
//
// Before it is timed each subject is checked: what leaves must have the
// translated addresses, the same payload, a TTL one lower and correct
// checksums. Every packet of a timed batch must leave.
//
// # Subjects
//
// weir; gvisor (netstack, whole forwarding path) and gvisor-hooks (its three
// netfilter hooks alone); linux (the running kernel, fed with XDP frames),
// linux-forwarding (the same without netfilter) and linux-netfilter (their
// difference); memory (what random cache lines cost
// here). Those that cannot run are skipped with a line that says why.
package main

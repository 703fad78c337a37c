// Package text is the language of ipset(8): its command lines, what it prints
// and the lines of ipset save and restore. Layer 3.
//
// Run is a pure function of sets, arguments and standard input, with the
// messages and exit codes of ipset 7.17. Names of hosts are not resolved.
package text

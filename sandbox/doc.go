// Package sandbox takes from a running process what it will not need any more:
// capabilities, files, the network and most system calls. It is entered once,
// after everything that needs more is open.
//
// On Linux that is capset(2), Landlock and seccomp, for all threads; elsewhere
// there is nothing, and Enter says so.
//
// Layer 10: imports the standard library and x/sys.
package sandbox

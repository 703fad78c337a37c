// Package args reads the arguments of extensions the way iptables reads them,
// and writes them the way iptables-save writes them: numbers in three bases,
// ranges, values with masks, ports by name, addresses with masks. Errors carry
// the place of the word that is wrong. Layer 5.
package args

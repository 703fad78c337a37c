// Package machine reads the directory that describes one Linux machine (one
// network namespace): its interfaces, routes, rules, sysctls and listening
// sockets, written by hand or as iproute2, iptables-save and ss print them. It
// finds every error in a directory, each with its place.
//
// Layer 9: imports iface, route, router, packet, xtables; files are read here
// so that no package below has to.
package machine

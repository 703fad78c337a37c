// Package nfacct is named accounting objects: counters with an optional quota
// that -m nfacct feeds and asks, in the words of nfacct(8). Layer 1: imports
// nothing.
package nfacct

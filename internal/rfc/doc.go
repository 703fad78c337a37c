// Package rfc compares Linux's NAT, and NAT with --mapping and --filtering, with
// what RFC 4787, 5382, 5508 and 7857 ask of one: each requirement is a test that
// drives packets through a machine. docs/rfc.md is written from the answers.
//
// It has tests only, and is no part of the library.
package rfc

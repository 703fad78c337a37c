package xtables

import (
	"weir/conntrack"
	"weir/conntrack/show"
	"weir/nfacct"
	"weir/osf"
)

// Known is what rules may name beside sets: what on a Linux machine stands in
// files or was made by another program. The zero value knows nothing, and of
// users and groups the numbers that Debian gives on every machine.
type Known struct {
	// Labels are the names of connlabel.conf.
	Labels *show.LabelNames
	// Accounts are the objects of nfacct(8).
	Accounts *nfacct.Objects
	// Timeouts are the timeout policies of nfct(8).
	Timeouts []conntrack.TimeoutPolicy
	// Fingerprints are those of pf.os.
	Fingerprints *osf.List
	// Users and Groups are the numbers of passwd and group; nil is Debian's.
	Users, Groups map[string]uint32
}

// Package verbs is conntrack(8) without a kernel: it reads the command lines of
// conntrack-tools 1.4.7, and lists, makes, changes and removes connections and
// expectations of a table as that program and ctnetlink do, with its messages
// and exit statuses. Filters are evaluated here.
//
//	cmd, bad := verbs.Parse([]string{"-L", "-p", "tcp"}, names)
//	res := cmd.Run(verbs.Machine{Table: tb, Rand: r}, now)
//
// Who owns the table holds it alone while Run runs. A file of such lines, as
// conntrack -L -o save writes, is read with Load and written with AppendState.
//
// Layer 4.
package verbs

package verbs

import "weir/xtables"

// match appends what -L prints of a match, with a space before it. text is its
// options as iptables-save prints them.
func (l *lister) match(b []byte, r *xtables.Rule, name string, text []byte) []byte {
	b = append(append(b, ' '), name...)
	return append(b, text...)
}

// target appends what -L prints of a target.
func (l *lister) target(b []byte, r *xtables.Rule, name string, text []byte) []byte {
	b = append(append(b, ' '), name...)
	return append(b, text...)
}

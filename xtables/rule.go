package xtables

// Rule is replaced by the real one.
type Rule struct{}

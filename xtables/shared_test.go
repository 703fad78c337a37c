package xtables

import "testing"

func TestNamedStateEndsWithItsLastRule(t *testing.T) {
	var s Shared
	var a, b, c Use
	first, second := new(int), new(int)
	if a.Hold(&s, "recent/ipv4/x", first) != first || b.Hold(&s, "recent/ipv4/x", second) != first {
		t.Error("two rules that name one list have two")
	}
	// New rules are bound before the old ones are let go.
	a.Unbind()
	a.Unbind()
	if s.Named("recent/ipv4/x") != first {
		t.Error("a list is gone while a rule uses it")
	}
	b.Unbind()
	if s.Named("recent/ipv4/x") != nil || c.Hold(&s, "recent/ipv4/x", second) != second {
		t.Error("a list outlives its last rule")
	}
}

package route

import (
	"net/netip"
	"slices"

	"weir/packet"
)

// Rule is a policy rule, as `ip rule` shows it: which packets look into which
// table, or are refused.
type Rule struct {
	Family packet.Family
	// Priority orders the rules, the smallest first.
	Priority int
	// Not turns the whole condition round.
	Not bool
	// From and To are the networks of source and destination; the zero Prefix
	// is any.
	From, To netip.Prefix
	// In and Out are names of interfaces, empty for any. What the machine
	// sends itself comes in by lo; Out is the one that its socket is bound to.
	In, Out string
	// The packet's mark is compared in the bits of Mask.
	Mark, Mask uint32
	TOS        uint8 // 0 is any
	// Type is Unicast for a look into Table; Blackhole, Unreachable and
	// Prohibit refuse.
	Type  Type
	Table int
}

// FreshRules are the rules of a system on which nobody made any.
func FreshRules(f packet.Family) []Rule {
	list := []Rule{{Family: f, Table: TableLocal}, {Family: f, Priority: 32766, Table: TableMain}}
	if f == packet.IPv4 {
		list = append(list, Rule{Family: f, Priority: 32767, Table: TableDefault})
	}
	for i := range list {
		list[i].Type = Unicast
	}
	return list
}

// matches reports whether the rule is for a packet. Linux: fib_rule_match,
// fib4_rule_match, fib6_rule_match.
func (r *Rule) matches(k *Key) bool { return r.is(k) != r.Not }

func (r *Rule) is(k *Key) bool {
	in := "lo"
	if k.In != nil {
		in = k.In.Name
	}
	return (r.In == "" || r.In == in) && (r.Out == "" || k.Out != nil && r.Out == k.Out.Name) &&
		(r.Mark^k.Mark)&r.Mask == 0 && (r.TOS == 0 || r.TOS&0xfc == k.TOS&0xfc) &&
		(!r.From.IsValid() || r.From.Contains(k.Src.IP(k.Family))) &&
		(!r.To.IsValid() || r.To.Contains(k.Dst.IP(k.Family)))
}

// step is one of the tries that a look-up goes through, in their order.
type step struct {
	trie *trie // nil: the rule refuses
	rule *Rule // nil: every packet
}

// found is the routes for a packet at a step; of is false if the step is not for
// it.
func (s *step) found(k *Key) (n *node, of bool) {
	if s.rule != nil && !s.rule.matches(k) {
		return nil, false
	}
	if s.trie != nil {
		n, _ = s.trie.bart.Lookup(k.Dst.IP(k.Family))
	}
	return n, true
}

// steps plants the tables of a family. Without rules of its own, Linux keeps
// local and main of IPv4 together.
func (t *Table) steps(list []Route, f packet.Family, rules []Rule) (steps []step) {
	four := f == packet.IPv4
	var own []Rule
	for _, r := range rules {
		if r.Family == f {
			own = append(own, r)
		}
	}
	slices.SortStableFunc(own, func(a, b Rule) int { return a.Priority - b.Priority })
	if fresh := FreshRules(f); len(own) == 0 || slices.Equal(own, fresh) {
		if four {
			return []step{{trie: t.plant(list, true, TableLocal, TableMain)}, {trie: t.plant(list, true, TableDefault)}}
		}
		return []step{{trie: t.plant(list, false, TableLocal)}, {trie: t.plant(list, false, TableMain)}}
	}
	tries := map[int]*trie{}
	for i := range own {
		s := step{rule: &own[i]}
		if r := s.rule; r.Type == Unicast {
			if tries[r.Table] == nil {
				tries[r.Table] = t.plant(list, four, r.Table)
			}
			s.trie = tries[r.Table]
		}
		steps = append(steps, s)
	}
	return steps
}

package xtables

import "weir/ipset"

// Shared is state that outlives a rule set: named lists and tables
// (recent, hashlimit, sets). One per machine, handed to Bind.
type Shared struct {
	// Sets are the machine's sets; nil is none.
	Sets *ipset.Sets
	// HashSeed is of hashes that strangers must not foresee.
	HashSeed uint32

	named map[string]*named
	// idleNext is when the next timer runs out, 0 if that is not known yet.
	idleNext int64
}

// named is state with a name, and how many rules use it.
type named struct {
	state any
	users int
}

// Named is the state of that name, nil if no rule uses it.
func (s *Shared) Named(key string) any {
	if n := s.named[key]; n != nil {
		return n.state
	}
	return nil
}

// Use is one rule's share of named state, which ends with the last rule that
// uses it. Embedded in an extension it is its Unbinder.
type Use struct {
	of  *Shared
	key string
}

// Hold takes a share of the state that has the name key ("kind/family/name"),
// which is state itself if nothing has that name yet.
func (u *Use) Hold(s *Shared, key string, state any) any {
	if s.named == nil {
		s.named = make(map[string]*named)
	}
	n := s.named[key]
	if n == nil {
		n = &named{state: state}
		s.named[key] = n
	}
	if u.of == nil {
		u.of, u.key = s, key
		n.users++
	}
	return n.state
}

// Unbind gives the share back.
func (u *Use) Unbind() {
	if u.of == nil {
		return
	}
	n := u.of.named[u.key]
	if n.users--; n.users == 0 {
		delete(u.of.named, u.key)
	}
	u.of = nil
}

package args

import (
	"fmt"
	"strings"

	"weir/hook"
	"weir/ipset"
	"weir/xtables"
)

// SetUse is a set that a rule refers to, and the directions in which it looks
// at the packet.
type SetUse struct {
	Name string
	Dim  int
	Src  [6]bool
	// Sets and ID are known once the rule is bound.
	Sets *ipset.Sets
	ID   int
}

// Set reads the two words "NAME src,dst" of an option. The set must exist.
func Set(c *xtables.Context, g *xtables.Given) (u SetUse, err error) {
	at := func(i int, format string, a ...any) error {
		return &xtables.Error{Pos: g.Args[i].Pos, Msg: "--" + g.Name + ": " + fmt.Sprintf(format, a...)}
	}
	if len(g.Args) != 2 {
		return u, Errorf(g, "--%s needs a set and directions", g.Name)
	}
	u.Name = g.Args[0].Text
	switch {
	case u.Name == "" || u.Name[0] == '-':
		return u, at(0, "%q is not the name of a set", u.Name)
	case len(u.Name) > 31:
		return u, at(0, "the name of the set has %d bytes; at most 31 are allowed", len(u.Name))
	}
	for _, w := range strings.Split(g.Args[1].Text, ",") {
		switch {
		case u.Dim == len(u.Src):
			return u, at(1, "at most six directions are allowed")
		case w != "src" && w != "dst":
			return u, at(1, "%q is neither src nor dst", w)
		}
		u.Src[u.Dim] = w == "src"
		u.Dim++
	}
	if c.Sets == nil || c.Sets.Lookup(u.Name) == nil {
		return u, at(0, "there is no set %s", u.Name)
	}
	if f := c.Sets.Lookup(u.Name).Family(); f != 0 && f != c.Family {
		return u, at(0, "the set %s is of %v", u.Name, f)
	}
	return u, nil
}

// Bind finds the set among the machine's and holds it.
func (u *SetUse) Bind(s *xtables.Shared) error {
	if u.Sets != nil {
		return nil
	}
	if s.Sets != nil {
		if id, ok := s.Sets.ID(u.Name); ok {
			u.Sets, u.ID = s.Sets, id
			u.Sets.Refer(id, 1)
			return nil
		}
	}
	return fmt.Errorf("there is no set %s", u.Name)
}

// Unbind lets the set go.
func (u *SetUse) Unbind() {
	if u.Sets != nil {
		u.Sets.Refer(u.ID, -1)
		u.Sets = nil
	}
}

// Append appends " --option NAME src,dst". A set that was renamed shows its
// new name.
func (u *SetUse) Append(b []byte, not bool, option string) []byte {
	name := u.Name
	if u.Sets != nil {
		if s := u.Sets.At(u.ID); s != nil {
			name = s.Name()
		}
	}
	b = append(Word(Name(b, not, option), name), ' ')
	for i := range u.Dim {
		if i > 0 {
			b = append(b, ',')
		}
		if u.Src[i] {
			b = append(b, "src"...)
		} else {
			b = append(b, "dst"...)
		}
	}
	return b
}

// Probe is the packet as a set looks at it.
func Probe(t *hook.Traversal) ipset.Probe {
	p := ipset.Probe{Pkt: t.Pkt, Mark: t.Mark, Now: t.Now}
	if t.In != nil {
		p.In = t.In.Name
	}
	if t.Out != nil {
		p.Out = t.Out.Name
	}
	return p
}

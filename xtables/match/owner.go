package match

import (
	"math"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
	"weir/xtables/names"
)

// Owner is -m owner: who owns the socket that sent the packet.
func Owner() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "owner", Families: xtables.Both,
		Points: hook.MaskOf(hook.Output, hook.Postrouting),
		Options: []xtables.Option{
			{Name: "uid-owner", Args: xtables.OneArg}, {Name: "gid-owner", Args: xtables.OneArg},
			{Name: "socket-exists"}, {Name: "suppl-groups", NoInvert: true},
		},
		Parse: parseOwner,
		Doc:   "all options; names from passwd and group of the machine directory, else those of every Debian; for local packets that carry an owner",
	}
}

// idRange is a range of user or group numbers.
type idRange struct {
	on, not bool
	lo, hi  uint32
}

type ownerMatch struct {
	uid, gid        idRange
	socket, noSock  bool
	supplementaries bool
}

func parseOwner(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "uid-owner", "gid-owner", "socket-exists"); err != nil {
		return nil, err
	}
	m := &ownerMatch{}
	var err error
	for i := range given {
		g := &given[i]
		switch g.Name {
		case "uid-owner":
			m.uid, err = readIDs(g, c.Known.Users, names.User, "passwd")
		case "gid-owner":
			m.gid, err = readIDs(g, c.Known.Groups, names.Group, "group")
		case "socket-exists":
			m.socket, m.noSock = true, g.Invert
		default:
			if !m.gid.on {
				err = args.Errorf(g, "--suppl-groups must stand behind --gid-owner")
			}
			m.supplementaries = true
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readIDs reads a name or a range of numbers. file is where the machine's own
// names stand; without it there are the fixed ones.
func readIDs(g *xtables.Given, own map[string]uint32, fixed func(string) (uint32, bool), file string) (r idRange, err error) {
	r.on, r.not = true, g.Invert
	w := args.Text(g)
	id, ok := own[w]
	if own == nil {
		id, ok = fixed(w)
	}
	if ok {
		r.lo, r.hi = id, id
		return r, nil
	}
	lo, hi, has := strings.Cut(w, "-")
	if !has {
		hi = lo
	}
	a, ok1 := args.Number(lo, 0, math.MaxUint32-1)
	b, ok2 := args.Number(hi, 0, math.MaxUint32-1)
	if !ok1 || !ok2 || a > b {
		return r, args.Bad(g, "a number, a range of numbers or a name that is known; the file "+file+" of the machine directory tells names")
	}
	r.lo, r.hi = uint32(a), uint32(b)
	return r, nil
}

func (r *idRange) has(v uint32) bool { return !r.on || (v >= r.lo && v <= r.hi) != r.not }

// Match is true of a packet without a socket when every condition is inverted.
func (m *ownerMatch) Match(t *hook.Traversal) bool {
	o := t.SocketOwner
	if o == nil {
		return m.uid.on == m.uid.not && m.gid.on == m.gid.not && m.socket == m.noSock
	}
	if o.Kernel {
		return !(m.socket && m.noSock) && m.uid.on == m.uid.not && m.gid.on == m.gid.not
	}
	return !(m.socket && m.noSock) && m.uid.has(o.UID) && m.hasGroup(o)
}

// hasGroup asks for the group, with --suppl-groups also for one of the others.
func (m *ownerMatch) hasGroup(o *hook.Owner) bool {
	if m.supplementaries && m.gid.on {
		for _, g := range o.Groups {
			if g >= m.gid.lo && g <= m.gid.hi {
				return !m.gid.not
			}
		}
	}
	return m.gid.has(o.GID)
}

func (m *ownerMatch) Explain(t *hook.Traversal) string {
	if t.SocketOwner == nil {
		return "no socket is known"
	}
	if t.SocketOwner.Kernel {
		return "the socket is the machine's own"
	}
	return "uid is " + dec(uint64(t.SocketOwner.UID)) + ", gid is " + dec(uint64(t.SocketOwner.GID))
}

func (m *ownerMatch) AppendArgs(b []byte) []byte {
	if m.socket {
		b = args.Name(b, m.noSock, "socket-exists")
	}
	b = m.uid.append(b, "uid-owner")
	b = m.gid.append(b, "gid-owner")
	if m.supplementaries {
		b = args.Name(b, false, "suppl-groups")
	}
	return b
}

func (r *idRange) append(b []byte, name string) []byte {
	if !r.on {
		return b
	}
	b = args.Dec(args.Name(b, r.not, name), uint64(r.lo))
	if r.lo != r.hi {
		b = append(append(b, '-'), dec(uint64(r.hi))...)
	}
	return b
}

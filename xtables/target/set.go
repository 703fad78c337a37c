package target

import (
	"errors"
	"math"

	"weir/hook"
	"weir/ipset"
	"weir/xtables"
	"weir/xtables/args"
)

// maxSetTimeout is the longest timeout in seconds that Linux keeps.
const maxSetTimeout = math.MaxInt32 / 1000

// Set is -j SET: adds the packet to sets (ipset), removes it, and takes over
// what a set says about it.
func Set() xtables.TargetExt {
	var opts []xtables.Option
	for _, n := range []string{"add-set", "del-set", "map-set"} {
		opts = append(opts, xtables.Option{Name: n, Args: xtables.TwoArgs, NoInvert: true})
	}
	return xtables.TargetExt{
		Name: "SET", Families: xtables.Both,
		Options: append(append(opts, one("timeout")...), flags("exist", "map-mark", "map-prio", "map-queue")...),
		Parse:   parseSet, Check: checkSet,
		Doc: "all options; --map-queue has nothing to act on",
	}
}

type setTarget struct {
	add, del, lookup              args.SetUse
	exist, mark, prio, queue, has bool
	timeout                       uint32
	opts                          [3]ipset.Options
}

func parseSet(c *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "add-set", "del-set", "map-set"); err != nil {
		return nil, err
	}
	s := &setTarget{}
	for i := range given {
		g := &given[i]
		var err error
		switch g.Name {
		case "add-set":
			s.add, err = args.Set(c, g)
		case "del-set":
			s.del, err = args.Set(c, g)
		case "map-set":
			s.lookup, err = args.Set(c, g)
		case "timeout":
			var n uint64
			n, err = args.Uint(g, 0, math.MaxUint32-1)
			s.timeout, s.has = uint32(n), true
		case "exist":
			s.exist = true
		case "map-mark":
			s.mark = true
		case "map-prio":
			s.prio = true
		case "map-queue":
			s.queue = true
		}
		if err != nil {
			return nil, err
		}
	}
	mapping := s.mark || s.prio || s.queue
	switch {
	case (s.has || s.exist) && s.add.Dim == 0:
		return nil, errors.New("--timeout and --exist go with --add-set")
	case mapping && s.lookup.Dim == 0:
		return nil, errors.New("--map-mark, --map-prio and --map-queue go with --map-set")
	case !mapping && s.lookup.Dim > 0:
		return nil, errors.New("--map-set needs --map-mark, --map-prio or --map-queue")
	case s.lookup.Dim > 0 && c.Table != "mangle":
		return nil, errors.New("--map-set works in table mangle only")
	}
	for i, u := range []*args.SetUse{&s.add, &s.del, &s.lookup} {
		s.opts[i].Dim, s.opts[i].Src = u.Dim, u.Src
	}
	s.opts[0].Exist, s.opts[0].HasTimeout, s.opts[0].Timeout = s.exist, s.has, min(s.timeout, maxSetTimeout)
	return s, nil
}

func checkSet(c *xtables.Context, t xtables.Target) error {
	s, ok := t.(*setTarget)
	allowed := hook.MaskOf(hook.Forward, hook.Output, hook.Postrouting)
	if ok && (s.prio || s.queue) && c.Points&^allowed != 0 {
		return errors.New("--map-prio and --map-queue work in FORWARD, OUTPUT and POSTROUTING only")
	}
	return nil
}

// Bind finds the sets among the machine's.
func (s *setTarget) Bind(sh *xtables.Shared) error {
	for _, u := range []*args.SetUse{&s.add, &s.del, &s.lookup} {
		if u.Dim > 0 {
			if err := u.Bind(sh); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unbind lets them go.
func (s *setTarget) Unbind() {
	s.add.Unbind()
	s.del.Unbind()
	s.lookup.Unbind()
}

// Do follows Linux net/netfilter/xt_set.c set_target_v3.
func (s *setTarget) Do(t *hook.Traversal) xtables.Code {
	p := args.Probe(t)
	if s.add.Dim > 0 {
		s.add.Sets.Put(ipset.Add, s.add.ID, &p, &s.opts[0])
	}
	if s.del.Dim > 0 {
		s.del.Sets.Put(ipset.Del, s.del.ID, &p, &s.opts[1])
	}
	if s.lookup.Dim == 0 {
		return xtables.Continue
	}
	o := &s.opts[2]
	o.Skb = ipset.Skbinfo{}
	if !s.lookup.Sets.Match(s.lookup.ID, &p, o) {
		return xtables.Continue
	}
	if s.mark {
		t.Mark = t.Mark&^o.Skb.Mask ^ o.Skb.Mark
	}
	if s.prio {
		t.Priority = o.Skb.Prio
	}
	return xtables.Continue
}

func (s *setTarget) AppendArgs(b []byte) []byte {
	if s.add.Dim > 0 {
		b = s.add.Append(b, false, "add-set")
	}
	if s.exist {
		b = args.Name(b, false, "exist")
	}
	if s.has {
		b = args.Dec(args.Name(b, false, "timeout"), uint64(s.timeout))
	}
	if s.del.Dim > 0 {
		b = s.del.Append(b, false, "del-set")
	}
	if s.lookup.Dim > 0 {
		b = s.lookup.Append(b, false, "map-set")
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{s.mark, "map-mark"}, {s.prio, "map-prio"}, {s.queue, "map-queue"}} {
		if f.on {
			b = args.Name(b, false, f.name)
		}
	}
	return b
}

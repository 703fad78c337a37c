package ipset

// list is the members of a list:set in their order.
type list struct {
	size uint32
	ids  []int
	ext  [][]uint32
}

const (
	listDefault = 8
	listMinimum = 4
)

func (s *Set) makeList(c *Create) Error {
	s.list.size = listDefault
	if c.HasSize {
		s.list.size = max(c.Size, listMinimum)
	}
	return OK
}

func (s *Set) flushList() {
	for _, id := range s.list.ids {
		s.sets.Refer(id, -1)
	}
	s.list.ids, s.list.ext = nil, nil
}

// cleanList drops the members whose time has come.
func (s *Set) cleanList(now int64) {
	l := &s.list
	for i := 0; i < len(l.ids); {
		if s.expired(l.ext[i], now) {
			s.cutList(i)
		} else {
			i++
		}
	}
}

func (s *Set) cutList(i int) {
	l := &s.list
	s.clear(l.ext[i])
	s.sets.Refer(l.ids[i], -1)
	l.ids = append(l.ids[:i], l.ids[i+1:]...)
	l.ext = append(l.ext[:i], l.ext[i+1:]...)
}

func (s *Set) findList(id int) int {
	for i, x := range s.list.ids {
		if x == id {
			return i
		}
	}
	return -1
}

// addList adds the set id before or after another; where is +1, -1 or 0.
func (s *Set) addList(id, ref, where int, g *given, exist bool, now int64) Error {
	l := &s.list
	at := s.findList(id)
	next := -1
	if where != 0 {
		if next = s.findList(ref); next < 0 || ref == id {
			return ErrListRef
		}
	}
	if at >= 0 {
		if !exist {
			return ErrExist
		}
		s.init(l.ext[at], g, now)
		return OK
	}
	switch {
	case where == 0:
		at = len(l.ids)
	case where > 0:
		at = next
	default:
		at = next + 1
	}
	l.ids = append(l.ids, 0)
	copy(l.ids[at+1:], l.ids[at:])
	l.ext = append(l.ext, nil)
	copy(l.ext[at+1:], l.ext[at:])
	l.ids[at], l.ext[at] = id, make([]uint32, s.exts.words)
	s.init(l.ext[at], g, now)
	s.sets.Refer(id, 1)
	return OK
}

// beside reports whether the member at i stands as asked.
func (s *Set) beside(i, ref, where int) bool {
	l := &s.list
	switch {
	case where > 0:
		return i+1 < len(l.ids) && l.ids[i+1] == ref
	case where < 0:
		return i > 0 && l.ids[i-1] == ref
	}
	return true
}

func (s *Set) delList(id, ref, where int) Error {
	i := s.findList(id)
	switch {
	case i < 0 && where != 0:
		return ErrListRef
	case i < 0:
		return ErrExist
	case !s.beside(i, ref, where):
		return ErrListRef
	}
	s.cutList(i)
	return OK
}

func (s *Set) testList(id, ref, where int, now int64) Error {
	i := s.findList(id)
	if i < 0 || s.expired(s.list.ext[i], now) || !s.beside(i, ref, where) {
		return ErrExist
	}
	return OK
}

func (s *Set) listLen(now int64) (n int) {
	for i := range s.list.ids {
		if !s.expired(s.list.ext[i], now) {
			n++
		}
	}
	return n
}

func (s *Set) eachList(now int64, f func(e *Elem, x *Ext) bool) {
	for i, id := range s.list.ids {
		if s.expired(s.list.ext[i], now) {
			continue
		}
		x := s.read(s.list.ext[i], now)
		e := Elem{}
		if m := s.sets.At(id); m != nil {
			e.Set = m.name
		}
		if !f(&e, &x) {
			return
		}
	}
}

package ipset

import (
	"math"

	"weir/packet"
)

// maxSets is how many sets a machine may have (IPSET_INVALID_ID).
const maxSets = 65535

// Create is what a set is made of. The Has fields say what was given.
type Create struct {
	Type   Type
	Family packet.Family // 0 for types of no family
	// Timeout is the default, seconds.
	Timeout                             uint32
	HasTimeout                          bool
	Counters, Comment, Skbinfo, Force   bool
	HashSize, MaxElem                   uint32
	HasHashSize, HasMaxElem, HasInitval bool
	BucketSize                          uint8
	HasBucketSize                       bool
	Initval                             uint32
	Netmask                             uint8
	HasNetmask, HasBitmask              bool
	Bitmask                             packet.Addr
	Markmask                            uint32
	HasMarkmask                         bool
	// IP and IPTo, or CIDR, of a bitmap's range; Port and PortTo of ports.
	IP, IPTo     packet.Addr
	HasTo        bool
	CIDR         uint8
	HasCIDR      bool
	Port, PortTo uint16
	HasPortTo    bool
	Size         uint32 // of a list
	HasSize      bool
}

// Set is a set.
type Set struct {
	name   string
	typ    Type
	family packet.Family
	sets   *Sets
	// What the type says, at hand for each packet.
	info     typeInfo
	kinds    []part
	netCount int
	// refs are the rules and lists that refer to it.
	refs int

	hasTimeout, counters, comment, skbinfo, force bool
	timeout                                       uint32

	hash   hash
	bitmap bitmap
	list   list

	exts     slots
	comments comments
	hostMask uint8
}

// Sets are the sets of a machine.
type Sets struct {
	list []*Set // by id, nil where none
	by   map[string]int
	// Rand draws an initval; nil gives 0.
	Rand func() uint32
	gen  uint64
	key  [maxKey]uint32
}

// New makes an empty collection. random draws the initval of hash sets that
// are given none; it may be nil.
func New(random func() uint32) *Sets { return &Sets{by: map[string]int{}, Rand: random} }

// Lookup finds a set by name, or nil.
func (ss *Sets) Lookup(name string) *Set {
	if id, ok := ss.by[name]; ok {
		return ss.list[id]
	}
	return nil
}

// ID is the number of a set, by which rules refer to it: after a swap the
// number stands for the other set.
func (ss *Sets) ID(name string) (int, bool) {
	id, ok := ss.by[name]
	return id, ok
}

// At is the set of a number; nil if there is none.
func (ss *Sets) At(id int) *Set {
	if id < 0 || id >= len(ss.list) {
		return nil
	}
	return ss.list[id]
}

// Refer counts one more user of a set, or with -1 one less.
func (ss *Sets) Refer(id, n int) {
	if s := ss.At(id); s != nil {
		s.refs += n
	}
}

// All is the sets in the order in which Linux lists them: lists last.
func (ss *Sets) All() []*Set {
	var out []*Set
	for _, last := range []bool{false, true} {
		for _, s := range ss.list {
			if s != nil && (s.typ == ListSet) == last {
				out = append(out, s)
			}
		}
	}
	return out
}

// Create makes a set. With exist, one of the same kind that is there already
// is no error.
func (ss *Sets) Create(name string, c Create, exist bool) Error {
	s := &Set{name: name, typ: c.Type, family: c.Family, sets: ss, hasTimeout: c.HasTimeout, timeout: c.Timeout,
		counters: c.Counters, comment: c.Comment, skbinfo: c.Skbinfo, force: c.Force && c.Type.Hash(), hostMask: 32}
	s.info, s.kinds, s.netCount = c.Type.info(), c.Type.parts(), c.Type.nets()
	if c.Family == packet.IPv6 {
		s.hostMask = 128
	}
	var err Error
	switch {
	case c.Type.Hash():
		err = s.makeHash(&c)
	case c.Type == ListSet:
		err = s.makeList(&c)
	default:
		err = s.makeBitmap(&c)
	}
	if err != OK {
		return err
	}
	if old := ss.Lookup(name); old != nil {
		if exist && old.same(s) {
			return OK
		}
		return ErrSetExists
	}
	id := len(ss.list)
	for i, o := range ss.list {
		if o == nil {
			id = i
			break
		}
	}
	if id >= maxSets {
		return ErrMaxSets
	}
	if id == len(ss.list) {
		ss.list = append(ss.list, nil)
	}
	s.exts = newSlots(s)
	s.layout()
	ss.list[id], ss.by[name] = s, id
	return OK
}

// same says that two sets are of one kind, as create -exist asks.
func (s *Set) same(o *Set) bool {
	ok := s.typ == o.typ && s.family == o.family && s.hasTimeout == o.hasTimeout && s.timeout == o.timeout &&
		s.counters == o.counters && s.comment == o.comment && s.skbinfo == o.skbinfo && s.force == o.force
	switch {
	case !ok:
		return false
	case s.typ.Hash():
		a, b := &s.hash, &o.hash
		return a.maxelem == b.maxelem && a.netmask == b.netmask && a.bitmask == b.bitmask && a.markmask == b.markmask
	case s.typ == ListSet:
		return s.list.size == o.list.size
	}
	a, b := &s.bitmap, &o.bitmap
	return a.first == b.first && a.last == b.last && a.netmask == b.netmask
}

// Destroy removes a set; the empty name removes all, or none if one is in use.
func (ss *Sets) Destroy(name string) Error {
	if name != "" {
		id, ok := ss.by[name]
		if !ok {
			return ErrNoSet
		}
		if ss.list[id].refs > 0 {
			return ErrBusy
		}
		ss.drop(id)
		return OK
	}
	for _, s := range ss.list {
		if s != nil && s.refs > 0 {
			return ErrBusy
		}
	}
	for id, s := range ss.list {
		if s != nil {
			ss.drop(id)
		}
	}
	return OK
}

func (ss *Sets) drop(id int) {
	s := ss.list[id]
	s.Flush()
	delete(ss.by, s.name)
	ss.list[id] = nil
	for len(ss.list) > 0 && ss.list[len(ss.list)-1] == nil {
		ss.list = ss.list[:len(ss.list)-1]
	}
}

// Flush empties a set.
func (s *Set) Flush() {
	switch {
	case s.typ.Hash():
		s.flushHash()
	case s.typ == ListSet:
		s.flushList()
	default:
		s.flushBitmap()
	}
	s.comments = comments{}
}

// Keep takes the set of a name, with its members, from a collection that is not
// used any more, in place of its own; false: it is no set of addresses, or the
// two are not of one kind.
func (ss *Sets) Keep(name string, from *Sets) bool {
	mine, old := ss.Lookup(name), from.Lookup(name)
	if mine == nil || old == nil || mine.typ == ListSet || !mine.same(old) {
		return false
	}
	id, was := ss.by[name], from.by[name]
	from.list[was] = nil
	delete(from.by, name)
	old.sets, old.refs = ss, mine.refs
	ss.list[id] = old
	return true
}

// Rename gives a set another name.
func (ss *Sets) Rename(from, to string) Error {
	id, ok := ss.by[from]
	if !ok {
		return ErrNoSet
	}
	if ss.list[id].refs > 0 {
		return ErrReferenced
	}
	if _, ok := ss.by[to]; ok {
		return ErrNewExists
	}
	delete(ss.by, from)
	ss.by[to] = id
	ss.list[id].name = to
	return OK
}

// Swap exchanges the contents of two sets: whoever refers to one sees the other.
func (ss *Sets) Swap(from, to string) Error {
	a, ok := ss.by[from]
	if !ok {
		return ErrNoSet
	}
	b, ok := ss.by[to]
	if !ok {
		return ErrSecondSet
	}
	x, y := ss.list[a], ss.list[b]
	if !sameFeatures(x.typ, y.typ) || x.family != y.family {
		return ErrMismatch
	}
	x.name, y.name = y.name, x.name
	x.refs, y.refs = y.refs, x.refs
	ss.list[a], ss.list[b] = y, x
	return OK
}

// sameFeatures: Linux compares what the types look at, not the types
// (bitmap:ip and hash:ip may be swapped).
func sameFeatures(a, b Type) bool {
	kind := func(t Type) string {
		n := t.info().name
		for i := range n {
			if n[i] == ':' {
				n = n[i+1:]
				break
			}
		}
		return n
	}
	return kind(a) == kind(b)
}

// Name is the set's name.
func (s *Set) Name() string { return s.name }

// Type is the set's type.
func (s *Set) Type() Type { return s.typ }

// Family is the set's family, 0 for none.
func (s *Set) Family() packet.Family { return s.family }

// Header is what a listing says of a set.
type Header struct {
	HashSize, MaxElem          uint32
	BucketSize                 uint8
	Initval                    uint32
	Netmask                    uint8 // 0 if not shown
	Bitmask                    packet.Addr
	HasBitmask                 bool
	Markmask                   uint32
	First, Last                uint32
	Size                       uint32
	HasTimeout                 bool
	Timeout                    uint32
	Counters, Comment          bool
	Skbinfo, Force             bool
	MemSize, References, Elems int
}

// Header describes the set at a time.
func (s *Set) Header(now int64) Header {
	h := Header{HasTimeout: s.hasTimeout, Timeout: s.timeout, Counters: s.counters, Comment: s.comment, Skbinfo: s.skbinfo, Force: s.force, References: s.refs}
	switch {
	case s.typ.Hash():
		x := &s.hash
		h.HashSize, h.MaxElem, h.BucketSize, h.Initval, h.Markmask = 1<<x.bits, x.maxelem, x.bucket, x.initval, x.markmask
		if x.netmask != s.hostMask {
			h.Netmask = x.netmask
		} else if s.typ.Masked() && x.bitmask != ones() {
			h.Bitmask, h.HasBitmask = x.bitmask, true
		}
		h.Elems, h.MemSize = s.hashSize(now)
	case s.typ == ListSet:
		h.Size = s.list.size
		h.Elems = s.listLen(now)
		h.MemSize = 80 + len(s.list.ids)*s.kernelElem() + s.comments.bytes
	default:
		x := &s.bitmap
		h.First, h.Last = x.first, x.last
		if s.typ == BitmapIP && x.netmask != 32 {
			h.Netmask = x.netmask
		}
		h.Elems, h.MemSize = s.bitmapSize(now)
	}
	return h
}

func ones() (a packet.Addr) {
	for i := range a {
		a[i] = 0xff
	}
	return a
}

// EachMember calls f for every member in the order of a listing, until it
// returns false. The set must not be changed meanwhile.
func (s *Set) EachMember(now int64, f func(e *Elem, x *Ext) bool) {
	switch {
	case s.typ.Hash():
		s.eachHash(now, f)
	case s.typ == ListSet:
		s.eachList(now, f)
	default:
		s.eachBitmap(now, f)
	}
}

// HasTimeout, HasCounters, HasSkbinfo and HasComment say which extensions the
// members have.
func (s *Set) HasTimeout() bool { return s.hasTimeout }

// HasCounters: see HasTimeout.
func (s *Set) HasCounters() bool { return s.counters }

// HasSkbinfo: see HasTimeout.
func (s *Set) HasSkbinfo() bool { return s.skbinfo }

// HasComment: see HasTimeout.
func (s *Set) HasComment() bool { return s.comment }

const unset = math.MaxUint64

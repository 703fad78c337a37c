package nfacct

// Mode is what the quota of an object counts.
type Mode string

// The modes, in the words of nfacct(8).
const (
	NoQuota Mode = ""
	Packet  Mode = "packet"
	Byte    Mode = "byte"
)

// MaxName is how many bytes of a name count.
const MaxName = 31

// Object counts packets and bytes. (Linux: struct nf_acct.)
type Object struct {
	Name           string
	Packets, Bytes uint64
	Quota          uint64 // in packets or bytes, as Mode says
	Mode           Mode
	// Over is set when a packet reached the quota, and stays.
	Over bool
}

// Count counts a packet of so many bytes and reports whether a rule that names
// the object matches it: without a quota always, else when the quota has been
// exceeded. (Linux: net/netfilter/xt_nfacct.c.)
func (o *Object) Count(size int) bool {
	o.Packets++
	o.Bytes += uint64(size)
	n := o.Bytes
	switch o.Mode {
	case NoQuota:
		return true
	case Packet:
		n = o.Packets
	}
	o.Over = o.Over || n >= o.Quota
	return n > o.Quota
}

// Objects is a machine's objects in the order of their creation. A nil one has
// none.
type Objects struct {
	list []*Object
	by   map[string]*Object
}

// Lookup finds an object; nil if there is none of that name.
func (s *Objects) Lookup(name string) *Object {
	if s == nil {
		return nil
	}
	return s.by[name]
}

// Add adds an object, unless there is one of its name.
func (s *Objects) Add(o *Object) bool {
	if s.by[o.Name] != nil {
		return false
	}
	if s.by == nil {
		s.by = make(map[string]*Object)
	}
	s.by[o.Name] = o
	s.list = append(s.list, o)
	return true
}

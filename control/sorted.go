package control

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"weir/conntrack"
	"weir/engine"
)

// maxRow is the deepest row that a sorted list can be asked for: so many rows
// are held while the table is read.
const maxRow = 100_000

// Page is a part of a sorted list.
type Page struct {
	// Total is how many connections matched.
	Total       int    `json:"total"`
	Connections []Conn `json:"connections"`
}

// row is a connection in a list that is being sorted.
type row struct {
	hi, lo uint64
	seq    uint64
	id     conntrack.ID
}

func compareRows(a, b row) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	if c := cmp.Compare(a.lo, b.lo); c != 0 {
		return c
	}
	return cmp.Compare(a.seq, b.seq)
}

// rows keeps the best rows; the worst is on top of the heap.
type rows struct {
	list []row
	desc bool
}

func (r *rows) before(a, b row) bool { return (compareRows(a, b) < 0) != r.desc }
func (r *rows) Len() int             { return len(r.list) }
func (r *rows) Less(i, j int) bool   { return r.before(r.list[j], r.list[i]) }
func (r *rows) Swap(i, j int)        { r.list[i], r.list[j] = r.list[j], r.list[i] }
func (r *rows) Push(x any)           { r.list = append(r.list, x.(row)) }
func (r *rows) Pop() any {
	x := r.list[len(r.list)-1]
	r.list = r.list[:len(r.list)-1]
	return x
}

// offer keeps a row if it is among the n best.
func (r *rows) offer(x row, n int) {
	switch {
	case len(r.list) < n:
		heap.Push(r, x)
	case n > 0 && r.before(x, r.list[0]):
		r.list[0] = x
		heap.Fix(r, 0)
	}
}

// sortKeys are what lists of connections can be sorted by.
func sortKeys() []string {
	return []string{"id", "timeout", "bytes", "packets", "mark", "proto", "state", "src", "dst", "sport", "dport"}
}

// keyOf is the value of a connection that a list is sorted by.
func keyOf(by string, tb *conntrack.Table, c *conntrack.Conn, now int64) (hi, lo uint64) {
	o := &c.Tuple[conntrack.Original]
	switch by {
	case "timeout":
		return 0, uint64(c.Expires(now))
	case "bytes", "packets":
		n := tb.Counters(c)
		switch {
		case n == nil:
			return 0, 0
		case by == "bytes":
			return 0, n[0].Bytes + n[1].Bytes
		}
		return 0, n[0].Packets + n[1].Packets
	case "mark":
		return 0, uint64(c.Mark)
	case "proto":
		return 0, uint64(o.Proto)
	case "state":
		var b [8]byte
		copy(b[:], stateOf(c))
		return 0, binary.BigEndian.Uint64(b[:])
	case "src":
		return binary.BigEndian.Uint64(o.Src[:]), binary.BigEndian.Uint64(o.Src[8:])
	case "dst":
		return binary.BigEndian.Uint64(o.Dst[:]), binary.BigEndian.Uint64(o.Dst[8:])
	case "sport":
		return 0, uint64(o.SrcL4)
	case "dport":
		return 0, uint64(o.DstL4)
	}
	return 0, c.Seq
}

// sortedPage reads a page of a sorted list.
func (s *Server) sortedPage(c *chooser, by string, desc bool, offset, limit int, gone func() bool) Page {
	r := &rows{desc: desc}
	p := Page{Connections: []Conn{}}
	s.each(func(tb *conntrack.Table, x *conntrack.Conn, now int64) {
		if !c.match(x) {
			return
		}
		p.Total++
		k := row{seq: x.Seq, id: x.ID()}
		k.hi, k.lo = keyOf(by, tb, x, now)
		r.offer(k, offset+limit)
	}, func() bool { return !gone() })
	slices.SortFunc(r.list, compareRows)
	if desc {
		slices.Reverse(r.list)
	}
	if offset >= len(r.list) {
		return p
	}
	s.target.Do(func(m *engine.Machine) {
		tb, now := m.Conntrack(), s.target.Now()
		for _, k := range r.list[offset:] {
			if x := tb.ByID(k.id); x != nil && x.Status&(conntrack.Confirmed|conntrack.Dying) == conntrack.Confirmed {
				p.Connections = append(p.Connections, connOf(tb, x, now))
			}
		}
	})
	return p
}

// window reads the parameters offset and limit.
func window(q url.Values, limit int) (offset, n int, err error) {
	n = limit
	for name, at := range map[string]*int{"offset": &offset, "limit": &n} {
		v := q.Get(name)
		if v == "" {
			continue
		}
		x, perr := strconv.ParseUint(v, 10, 31)
		if perr != nil {
			return 0, 0, bad("%s: %q is not a number", name, v)
		}
		*at = int(x)
	}
	if n > 1000 {
		return 0, 0, bad("limit: at most 1000 rows")
	}
	if offset+n > maxRow {
		return 0, 0, bad("offset: rows behind %d are not sorted; use a filter, or the list without limit", maxRow)
	}
	return offset, n, nil
}

// Connections is a page of a sorted list, with the parameters of
// /v1/conntrack.
func (s *Server) Connections(ctx context.Context, v url.Values) (Page, error) {
	c, err := chooserOf(v)
	if err != nil {
		return Page{}, err
	}
	by, desc := strings.CutPrefix(v.Get("sort"), "-")
	if by == "" {
		by = "id"
	}
	if !slices.Contains(sortKeys(), by) {
		return Page{}, bad("sort: %q is none of %v, with - in front for the largest first", by, sortKeys())
	}
	offset, limit, err := window(v, 100)
	if err != nil {
		return Page{}, err
	}
	return s.sortedPage(c, by, desc, offset, limit, func() bool { return ctx.Err() != nil }), nil
}

// sorted answers with a page of a sorted list.
func (s *Server) sorted(w http.ResponseWriter, q *http.Request) error {
	if q.FormValue("format") == "text" {
		return bad("format: a sorted list is JSON")
	}
	p, err := s.Connections(q.Context(), q.URL.Query())
	if err != nil {
		return err
	}
	return reply(w, p)
}

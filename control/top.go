package control

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"weir/conntrack"
	"weir/packet"
)

// Talker is what the connections that live now have moved for one address.
type Talker struct {
	// Name is an address, or address and port.
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	// Packets and Bytes of both directions; 0 without nf_conntrack_acct.
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Talkers is the busiest of them.
type Talkers struct {
	// By says what was counted: src, dst, or service (destination and port).
	By string `json:"by"`
	// Accounting says that bytes are counted (nf_conntrack_acct).
	Accounting bool     `json:"accounting"`
	List       []Talker `json:"list"`
	// Uncounted is connections beyond the groups that are kept.
	Uncounted int `json:"uncounted,omitempty"`
}

// Top counts the connections that live now by their source, destination or
// service, and returns those that moved the most.
func (s *Server) Top(by string, limit int) Talkers {
	type key struct {
		a      packet.Addr
		port   uint16
		family packet.Family
		proto  uint8
	}
	r := Talkers{By: by, List: []Talker{}}
	sums := map[key]*Talker{}
	s.each(func(tb *conntrack.Table, c *conntrack.Conn, _ int64) {
		o := &c.Tuple[conntrack.Original]
		k := key{a: o.Src, family: o.L3}
		switch by {
		case "dst":
			k.a = o.Dst
		case "service":
			k = key{o.Dst, o.DstL4, o.L3, o.Proto}
		}
		t := sums[k]
		if t == nil {
			if len(sums) >= maxUses {
				r.Uncounted++
				return
			}
			t = &Talker{}
			sums[k] = t
		}
		t.Connections++
		if n := tb.Counters(c); n != nil {
			r.Accounting = true
			t.Packets += n[0].Packets + n[1].Packets
			t.Bytes += n[0].Bytes + n[1].Bytes
		}
	}, nil)
	for k, t := range sums {
		a := k.a.IP(k.family)
		t.Name = a.String()
		switch {
		case by != "service":
		case k.proto == packet.ICMP || k.proto == packet.ICMPv6:
			t.Name = protocolName(k.proto) + " " + t.Name
		default:
			t.Name = protocolName(k.proto) + " " + netip.AddrPortFrom(a, k.port).String()
		}
		r.List = append(r.List, *t)
	}
	slices.SortFunc(r.List, func(a, b Talker) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Connections, a.Connections), strings.Compare(a.Name, b.Name))
	})
	r.List = slices.Clone(r.List[:min(limit, len(r.List))])
	return r
}

func (s *Server) top(w http.ResponseWriter, q *http.Request) error {
	by := q.FormValue("by")
	switch by {
	case "":
		by = "src"
	case "src", "dst", "service":
	default:
		return bad("by: %s is none of src dst service", strconv.Quote(by))
	}
	_, limit, err := window(q.URL.Query(), 20)
	if err != nil {
		return err
	}
	return reply(w, s.Top(by, limit))
}

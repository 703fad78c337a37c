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

// Ports is how many ports an external address has for one peer and protocol
// unless a rule gives it fewer: those from 1024 on.
const Ports = 1<<16 - 1024

// maxUses bounds the groups that are counted in one go; what is beyond it is
// counted together.
const maxUses = 1 << 18

// PortUse is the ports that an external address uses towards one peer.
type PortUse struct {
	External netip.Addr `json:"external"`
	Protocol string     `json:"protocol"`
	Peer     netip.Addr `json:"peer"`
	PeerPort uint16     `json:"peer_port"`
	Used     int        `json:"used"`
	// Ports is how many there are, Share Used of them.
	Ports int     `json:"ports"`
	Share float64 `json:"share"`
}

// NATUse is the ports in use by translated connections.
type NATUse struct {
	// Connections is how many have their source translated.
	Connections int `json:"connections"`
	// Addresses is per external address and protocol.
	Addresses []AddressUse `json:"addresses"`
	// Peers is per external address, protocol and peer, the fullest first.
	Peers []PortUse `json:"peers"`
	// Uncounted is connections that stand in none of these, since there are
	// too many groups.
	Uncounted int `json:"uncounted,omitempty"`
}

// AddressUse is an external address.
type AddressUse struct {
	External    netip.Addr `json:"external"`
	Protocol    string     `json:"protocol"`
	Connections int        `json:"connections"`
	Peers       int        `json:"peers"`
	// Fullest is the share of ports used towards the fullest peer.
	Fullest float64 `json:"fullest"`
}

// useKey is what ports are unique for.
type useKey struct {
	external, peer packet.Addr
	port           uint16
	family         packet.Family
	proto          uint8
}

// PortUse counts the ports of translated connections. Only the limit fullest
// peers are returned.
func (s *Server) PortUse(external netip.Addr, limit int) NATUse {
	var r NATUse
	uses := map[useKey]int{}
	s.each(func(_ *conntrack.Table, c *conntrack.Conn, _ int64) {
		if c.Status&conntrack.SrcNAT == 0 {
			return
		}
		t := &c.Tuple[conntrack.Reply]
		if external.IsValid() && t.Dst.IP(t.L3) != external {
			return
		}
		r.Connections++
		k := useKey{t.Dst, t.Src, t.SrcL4, t.L3, t.Proto}
		if t.Proto == packet.ICMP || t.Proto == packet.ICMPv6 {
			k.port = 0
		}
		if n, ok := uses[k]; ok || len(uses) < maxUses {
			uses[k] = n + 1
		} else {
			r.Uncounted++
		}
	}, nil)
	type side struct {
		external packet.Addr
		family   packet.Family
		proto    uint8
	}
	sides := map[side]*AddressUse{}
	given := s.ranges()
	ports := map[side]int{}
	for k, n := range uses {
		d := side{k.external, k.family, k.proto}
		a := sides[d]
		if a == nil {
			a = &AddressUse{External: k.external.IP(k.family), Protocol: protocolName(k.proto)}
			sides[d] = a
			ports[d] = capacity(given, a.External, a.Protocol)
		}
		share := float64(n) / float64(ports[d])
		a.Connections += n
		a.Peers++
		a.Fullest = max(a.Fullest, share)
		r.Peers = append(r.Peers, PortUse{a.External, a.Protocol, k.peer.IP(k.family), k.port, n, ports[d], share})
	}
	slices.SortFunc(r.Peers, func(a, b PortUse) int {
		return cmp.Or(cmp.Compare(b.Used, a.Used), a.External.Compare(b.External), a.Peer.Compare(b.Peer),
			cmp.Compare(a.PeerPort, b.PeerPort), strings.Compare(a.Protocol, b.Protocol))
	})
	r.Peers = slices.Clone(r.Peers[:min(limit, len(r.Peers))])
	for _, a := range sides {
		r.Addresses = append(r.Addresses, *a)
	}
	slices.SortFunc(r.Addresses, func(a, b AddressUse) int {
		return cmp.Or(a.External.Compare(b.External), strings.Compare(a.Protocol, b.Protocol))
	})
	return r
}

func addressOf(q *http.Request, name string) (netip.Addr, error) {
	v := q.FormValue(name)
	if v == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(v)
	if err != nil {
		return a, bad("%s: %q is not an address", name, v)
	}
	return a, nil
}

func (s *Server) natUse(w http.ResponseWriter, q *http.Request) error {
	a, err := addressOf(q, "external")
	if err != nil {
		return err
	}
	_, limit, err := window(q.URL.Query(), 20)
	if err != nil {
		return err
	}
	u := s.PortUse(a, limit)
	if u.Addresses == nil {
		u.Addresses = []AddressUse{}
	}
	if u.Peers == nil {
		u.Peers = []PortUse{}
	}
	return reply(w, u)
}

// natHolder says which connections hold a port of an external address.
func (s *Server) natHolder(w http.ResponseWriter, q *http.Request) error {
	a, err := addressOf(q, "external")
	if err != nil {
		return err
	}
	if !a.IsValid() {
		return bad("external: whose port?")
	}
	port, err := strconv.ParseUint(q.FormValue("port"), 10, 16)
	if err != nil {
		return bad("port: %q is not a port", q.FormValue("port"))
	}
	return reply(w, s.Holders(a, uint16(port), strings.ToLower(q.FormValue("protocol"))))
}

// Holders are the connections that hold a port of an external address, a
// thousand at most; of one protocol if that is named.
func (s *Server) Holders(a netip.Addr, port uint16, proto string) []Conn {
	list := []Conn{}
	s.each(func(tb *conntrack.Table, c *conntrack.Conn, now int64) {
		t := &c.Tuple[conntrack.Reply]
		if t.DstL4 == port && t.Dst.IP(t.L3) == a && len(list) < 1000 && (proto == "" || proto == protocolName(t.Proto)) {
			list = append(list, connOf(tb, c, now))
		}
	}, nil)
	return list
}

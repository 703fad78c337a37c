package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"

	"weir/iface"
	"weir/route"
)

// elements calls f with each element of a JSON array and its place.
func (l *loader) elements(f File, each func(raw []byte, line, col int)) {
	if len(bytes.TrimSpace(f.Text)) == 0 {
		return // ip -j prints nothing at all when there is nothing
	}
	d := json.NewDecoder(bytes.NewReader(f.Text))
	bad := func(err error) {
		off := int(d.InputOffset())
		var syn *json.SyntaxError
		if errors.As(err, &syn) {
			off = int(syn.Offset) - 1
		}
		if err == io.ErrUnexpectedEOF || err == io.EOF {
			off = len(f.Text)
		}
		line, col := place(f.Text, off)
		l.fail(f.Name, line, col, "JSON: "+err.Error())
	}
	t, err := d.Token()
	if err != nil {
		bad(err)
		return
	}
	if t != json.Delim('[') {
		l.fail(f.Name, 1, 1, "JSON: expected the array that ip -j prints")
		return
	}
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			bad(err)
			return
		}
		line, col := place(f.Text, int(d.InputOffset())-len(raw))
		each(raw, line, col)
	}
	if _, err := d.Token(); err != nil {
		bad(err)
	}
}

// ipAddr is an element of ip -j addr; what weir does not use is left out.
type ipAddr struct {
	Index    int      `json:"ifindex"`
	Name     string   `json:"ifname"`
	Flags    []string `json:"flags"`
	MTU      int      `json:"mtu"`
	LinkType string   `json:"link_type"`
	MAC      string   `json:"address"`
	Addrs    []struct {
		Family    string `json:"family"`
		Local     string `json:"local"`
		Peer      string `json:"address"`
		Bits      int    `json:"prefixlen"`
		Broadcast string `json:"broadcast"`
		Scope     any    `json:"scope"`
		Secondary bool   `json:"secondary"`
		// Old and new names of the same: preferred lifetime over.
		Deprecated bool   `json:"deprecated"`
		Preferred  *int64 `json:"preferred_life_time"`
	} `json:"addr_info"`
}

// scopes are the names that ip prints; numbers may stand there too.
var scopes = map[string]iface.Scope{
	"global": iface.Universe, "site": iface.Site, "link": iface.LinkLocal, "host": iface.Host, "nowhere": iface.Nowhere,
}

func scopeNamed(v any, deflt iface.Scope) iface.Scope {
	switch x := v.(type) {
	case string:
		if s, ok := scopes[x]; ok {
			return s
		}
	case float64:
		return iface.Scope(x)
	}
	return deflt
}

// iproute reads the output of ip -j addr and ip -j route.
func (l *loader) iproute(addr, v4, v6 File) {
	l.elements(addr, func(raw []byte, line, col int) {
		var a ipAddr
		if err := json.Unmarshal(raw, &a); err != nil {
			l.fail(addr.Name, line, col, "JSON: "+err.Error())
			return
		}
		if a.Name == "" && a.Index == 0 {
			return // ip prints {} for what a filter took away
		}
		l.ipIface(addr.Name, &a, line, col)
	})
	if len(l.m.Ifaces) == 0 && len(l.errs) == 0 {
		l.fail(addr.Name, 1, 1, "no interfaces are listed")
	}
	l.m.addLoopback()
	if v4.Text == nil {
		l.fail(v4.Name, 1, 1, "not found; a machine with addr.json needs it (ip -j route show table all)")
	} else {
		l.ipRoutes(v4, v6.Text == nil, false)
	}
	if v6.Text != nil {
		l.ipRoutes(v6, true, true)
	}
}

func (l *loader) ipIface(file string, a *ipAddr, line, col int) {
	switch {
	case a.Name == Local:
		l.fail(file, line, col, `"local" stands for the machine itself and cannot name an interface`)
	case a.Name == "" || a.Index == 0:
		l.fail(file, line, col, "an interface without ifname or ifindex")
	case l.m.Iface(a.Name) != nil:
		l.fail(file, line, col, "interface "+quote(a.Name)+" is listed twice")
	}
	i := &iface.Iface{Index: a.Index, Name: a.Name, MTU: a.MTU, Loopback: a.LinkType == "loopback"}
	if a.LinkType == "ether" {
		if hw, err := net.ParseMAC(a.MAC); err == nil && len(hw) == 6 {
			copy(i.MAC[:], hw)
		}
	}
	if i.MTU == 0 {
		i.MTU = 1500
	}
	for _, f := range a.Flags {
		i.Loopback = i.Loopback || f == "LOOPBACK"
	}
	for _, x := range a.Addrs {
		if x.Family != "inet" && x.Family != "inet6" {
			continue
		}
		ip, err := netip.ParseAddr(x.Local)
		if err != nil || x.Bits < 0 || x.Bits > ip.BitLen() {
			l.fail(file, line, col, "interface "+a.Name+": "+quote(x.Local)+" is not an address")
			continue
		}
		n := iface.Addr{
			Prefix: netip.PrefixFrom(ip, x.Bits), Scope: scopeNamed(x.Scope, scopeOf(ip)),
			Secondary: x.Secondary, Deprecated: x.Deprecated || x.Preferred != nil && *x.Preferred == 0,
		}
		if x.Peer != "" {
			n.Peer, _ = netip.ParseAddr(x.Peer)
		}
		if x.Broadcast != "" {
			n.Broadcast, _ = netip.ParseAddr(x.Broadcast)
		}
		i.Addrs = append(i.Addrs, n)
	}
	oldestFirst(i.Addrs)
	l.m.Ifaces = append(l.m.Ifaces, i)
}

// oldestFirst turns the IPv6 addresses round, which ip lists with the newest
// in front.
func oldestFirst(list []iface.Addr) {
	six := make([]int, 0, len(list))
	for i := range list {
		if list[i].Prefix.Addr().Is6() {
			six = append(six, i)
		}
	}
	for a, b := 0, len(six)-1; a < b; a, b = a+1, b-1 {
		list[six[a]], list[six[b]] = list[six[b]], list[six[a]]
	}
}

// ipRoute is an element of ip -j route show table all.
type ipRoute struct {
	Type    string `json:"type"`
	Dst     string `json:"dst"`
	Gateway string `json:"gateway"`
	Via     *struct {
		Host string `json:"host"`
	} `json:"via"`
	Dev     string   `json:"dev"`
	Table   any      `json:"table"`
	Scope   any      `json:"scope"`
	PrefSrc string   `json:"prefsrc"`
	Metric  int64    `json:"metric"`
	Pref    string   `json:"pref"`
	TOS     any      `json:"tos"`
	Flags   []string `json:"flags"`
	Metrics []struct {
		MTU int `json:"mtu"`
	} `json:"metrics"`
	Nexthops []json.RawMessage `json:"nexthops"`
}

func (l *loader) tableOf(r *ipRoute) int {
	switch t := r.Table.(type) {
	case float64:
		return int(t)
	case string:
		return l.table(t)
	}
	return route.TableMain
}

// ipRoutes reads one file of routes. ip prints both families when asked for
// all tables without one; use6 says whether to take the IPv6 ones, only6 that
// the file is route6.json.
func (l *loader) ipRoutes(f File, use6, only6 bool) {
	l.elements(f, func(raw []byte, line, col int) {
		var r ipRoute
		if err := json.Unmarshal(raw, &r); err != nil {
			l.fail(f.Name, line, col, "JSON: "+err.Error())
			return
		}
		fail := func(msg string) { l.fail(f.Name, line, col, "route "+r.Dst+": "+msg) }
		out := route.Route{Type: route.Unicast, Metric: int(r.Metric), Table: l.tableOf(&r), Scope: scopeNamed(r.Scope, iface.Universe)}
		if r.Dst == "" {
			return
		}
		for _, flag := range r.Flags {
			if flag == "dead" {
				return
			}
		}
		if r.Type != "" {
			t, ok := routeTypes[r.Type]
			if !ok {
				fail("type " + quote(r.Type) + " is not supported")
				return
			}
			out.Type = t
		}
		var err error
		if r.Gateway != "" {
			if out.Via, err = netip.ParseAddr(r.Gateway); err != nil {
				fail(quote(r.Gateway) + " is not an address")
				return
			}
		} else if r.Via != nil {
			if out.Via, err = netip.ParseAddr(r.Via.Host); err != nil {
				fail(quote(r.Via.Host) + " is not an address")
				return
			}
		}
		if r.PrefSrc != "" {
			if out.Src, err = netip.ParseAddr(r.PrefSrc); err != nil {
				fail(quote(r.PrefSrc) + " is not an address")
				return
			}
		}
		if r.Dst == "default" {
			six := only6 || r.Pref != "" || out.Src.Is6() || out.Via.Is6() && r.Via == nil
			out.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if six {
				out.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
		} else if a, aerr := netip.ParseAddr(r.Dst); aerr == nil {
			out.To = netip.PrefixFrom(a, a.BitLen())
		} else if out.To, err = netip.ParsePrefix(r.Dst); err != nil {
			fail("its destination is not a network")
			return
		}
		out.To = out.To.Masked()
		is6 := out.To.Addr().Is6()
		if is6 && !use6 || !is6 && only6 {
			return
		}
		if len(r.Nexthops) > 0 {
			fail("several next hops (multipath) are not supported")
			return
		}
		for _, m := range r.Metrics {
			if m.MTU != 0 {
				out.MTU = m.MTU
			}
		}
		if tos, ok := r.TOS.(float64); ok {
			out.TOS = uint8(tos)
		}
		if r.Dev != "" {
			if out.Dev = l.m.Iface(r.Dev); out.Dev == nil {
				fail("addr.json has no interface " + quote(r.Dev))
				return
			}
		} else if out.Type == route.Unicast {
			fail("it names no device")
			return
		}
		if out.Table == 255 {
			if is6 {
				l.m.Complete6 = true
			} else {
				l.m.Complete4 = true
			}
		}
		l.m.Routes = append(l.m.Routes, out)
	})
}

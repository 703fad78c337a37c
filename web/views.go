package web

import (
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"weir/control"
	"weir/packet"
)

// device is a device with its rates.
type device struct {
	control.Device
	Rate *rates // nil: not known yet
}

// overview is the first page.
func (p *Page) overview(w http.ResponseWriter, q *http.Request) {
	st := p.s.Status()
	data := struct {
		control.Status
		Wide, Tall template.HTML
		Devices    []device
		Fill       float64
	}{Status: st, Devices: p.measure(st.Devices)}
	d := newDiagram(&st, append(p.s.Chains(packet.IPv4, ""), p.s.Chains(packet.IPv6, "")...))
	data.Wide, data.Tall = d.wide(), d.tall()
	if st.Max > 0 {
		data.Fill = float64(st.Connections) / float64(st.Max)
	}
	p.show(w, http.StatusOK, "overview", view{Title: "Overview", Path: "/", Query: q.URL.Query(), Every: 2, Data: data})
}

// measure compares the devices' counters with those of a second or more ago.
func (p *Page) measure(list []control.Device) []device {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if dt := now.Sub(p.last.at).Seconds(); dt >= 1 {
		for _, d := range list {
			old, ok := p.last.devices[d.Name]
			if !ok || dt > 60 {
				delete(p.rate, d.Name)
				continue
			}
			per := func(a, b uint64) float64 { return max(0, float64(int64(a-b))/dt) }
			p.rate[d.Name] = rates{8 * per(d.RxBytes, old.RxBytes), 8 * per(d.TxBytes, old.TxBytes), per(d.RxPackets, old.RxPackets), per(d.TxPackets, old.TxPackets)}
		}
		p.last = sample{now, map[string]control.Device{}}
		for _, d := range list {
			p.last.devices[d.Name] = d
		}
	}
	var out []device
	for _, d := range list {
		x := device{Device: d}
		if r, ok := p.rate[d.Name]; ok {
			x.Rate = &r
		}
		out = append(out, x)
	}
	return out
}

// column is a column of the list of connections.
type column struct{ Key, Name, Sort, Mark string }

// connections is the list of connections.
func (p *Page) connections(w http.ResponseWriter, q *http.Request) {
	const rows = 50
	v := url.Values{}
	for k, x := range q.URL.Query() { // empty fields of the form say nothing
		if len(x) > 0 && strings.TrimSpace(x[0]) != "" {
			v.Set(k, strings.TrimSpace(x[0]))
		}
	}
	if v.Get("sort") == "" {
		v.Set("sort", "-id")
	}
	offset, _ := strconv.Atoi(v.Get("offset"))
	offset = max(0, offset)
	ask := url.Values{}
	for k, x := range v {
		ask[k] = x
	}
	ask.Set("limit", strconv.Itoa(rows))
	var data struct {
		control.Page
		Error      string
		Columns    []column
		Prev, Next string
		From, To   int
		Form       url.Values
	}
	page, err := p.s.Connections(q.Context(), ask)
	status := http.StatusOK
	if err != nil {
		data.Error, status = err.Error(), http.StatusBadRequest
	}
	data.Page, data.Form = page, v
	data.From, data.To = offset+1, offset+len(page.Connections)
	if offset > 0 {
		data.Prev = strconv.Itoa(max(0, offset-rows))
	}
	if data.To < page.Total {
		data.Next = strconv.Itoa(offset + rows)
	}
	by := v.Get("sort")
	for _, c := range []column{{"proto", "Protocol", "proto", ""}, {"state", "State", "state", ""}, {"src", "From", "src", ""}, {"dst", "To", "dst", ""},
		{"", "Answers from, to", "", ""}, {"packets", "Packets", "-packets", ""}, {"bytes", "Bytes", "-bytes", ""}, {"timeout", "Seconds left", "timeout", ""}} {
		if c.Key != "" {
			switch by {
			case c.Key:
				c.Mark, c.Sort = "▲", "-"+c.Key
			case "-" + c.Key:
				c.Mark, c.Sort = "▼", c.Key
			}
		}
		data.Columns = append(data.Columns, c)
	}
	p.show(w, status, "connections", view{Title: "Connections", Path: "/connections", Query: v, Every: 5, Data: data})
}

// rules is the rules with their counters.
func (p *Page) rules(w http.ResponseWriter, q *http.Request) {
	var data struct {
		Family, Table string
		Tables        []string
		Chains        []control.Chain
	}
	data.Family = "ipv4"
	f := packet.IPv4
	if q.FormValue("family") == "ipv6" {
		data.Family, f = "ipv6", packet.IPv6
	}
	all := p.s.Chains(f, "")
	for _, c := range all {
		if n := len(data.Tables); n == 0 || data.Tables[n-1] != c.Table {
			data.Tables = append(data.Tables, c.Table)
		}
	}
	data.Table = q.FormValue("table")
	if data.Table == "" && len(data.Tables) > 0 {
		data.Table = data.Tables[len(data.Tables)-1]
		for _, t := range data.Tables {
			if t == "filter" {
				data.Table = t
			}
		}
	}
	for _, c := range all {
		if c.Table == data.Table {
			data.Chains = append(data.Chains, c)
		}
	}
	p.show(w, http.StatusOK, "rules", view{Title: "Rules", Path: "/rules", Query: q.URL.Query(), Every: 5, Data: data})
}

// ports is the use of ports, who holds one, and who moves the most.
func (p *Page) ports(w http.ResponseWriter, q *http.Request) {
	var data struct {
		control.NATUse
		External, Port, Error string
		Asked                 bool
		Holders               []control.Conn
		Top                   control.Talkers
		By                    string
	}
	data.NATUse = p.s.PortUse(netip.Addr{}, 25)
	data.External, data.Port = strings.TrimSpace(q.FormValue("external")), strings.TrimSpace(q.FormValue("port"))
	status := http.StatusOK
	if data.External != "" || data.Port != "" {
		a, err := netip.ParseAddr(data.External)
		n, perr := strconv.ParseUint(data.Port, 10, 16)
		switch {
		case err != nil:
			data.Error = "that is not an address"
		case perr != nil:
			data.Error = "that is not a port"
		default:
			data.Asked = true
			data.Holders = p.s.Holders(a, uint16(n), "")
		}
		if data.Error != "" {
			status = http.StatusBadRequest
		}
	}
	data.By = q.FormValue("by")
	if data.By != "dst" && data.By != "service" {
		data.By = "src"
	}
	data.Top = p.s.Top(data.By, 15)
	p.show(w, status, "ports", view{Title: "Ports and talkers", Path: "/ports", Query: q.URL.Query(), Every: 10, Data: data})
}

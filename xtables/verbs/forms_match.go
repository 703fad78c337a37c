package verbs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weir/packet"
	"weir/xtables"
	"weir/xtables/names"
)

// matchForm is how -L prints a match.
func matchForm(name string) (form, bool) {
	f, ok := matchForms()[name]
	return f, ok
}

// matchForms are the forms that iptables 1.8.9 prints, odd spaces and all.
func matchForms() map[string]form {
	ttl := func(head, name string) form {
		return form{fn: func(_ *lister, _ *xtables.Rule, os []opt) string { return hops(head, name, os) }}
	}
	exthdr := func(head string) form {
		return form{head: head, opts: map[string]string{head + "-len": "length:{!}{}", head + "-opts": "opts {}"}}
	}
	return map[string]form{
		"tcp":       {fn: portForm("tcp")},
		"udp":       {fn: portForm("udp")},
		"sctp":      {fn: portForm("sctp")},
		"dccp":      {fn: portForm("dccp")},
		"icmp":      {fn: icmpForm},
		"icmp6":     {fn: icmpForm},
		"multiport": {fn: multiportForm},
		"conntrack": {},
		"state":     {},
		"mark":      {opts: map[string]string{"mark": "mark match {! }{}"}},
		"connmark":  {opts: map[string]string{"mark": "connmark match {!} {}"}},
		"comment":   {fn: func(_ *lister, _ *xtables.Rule, os []opt) string { return " /* " + unquote(first(os)) + " */" }},
		"limit": {fn: func(_ *lister, _ *xtables.Rule, os []opt) string {
			burst := "5"
			if o := find(os, "limit-burst"); o != nil {
				burst = o.val()
			}
			return " limit: avg " + find(os, "limit").val() + " burst " + burst
		}},
		"addrtype": {head: "ADDRTYPE match", opts: map[string]string{"src-type": "src-type {!}{}", "dst-type": "dst-type {!}{}",
			"limit-iface-in": "limit-in", "limit-iface-out": "limit-out"}},
		"iprange":   {opts: map[string]string{"src-range": "source IP range {! }{}", "dst-range": "destination IP range {! }{}"}},
		"length":    {opts: map[string]string{"length": "length {!}{}"}},
		"ttl":       ttl("TTL", "ttl"),
		"hl":        ttl("HL", "hl"),
		"mac":       {opts: map[string]string{"mac-source": "MAC {! }{}"}},
		"statistic": {opts: map[string]string{"mode": "statistic mode {}"}},
		"tcpmss":    {opts: map[string]string{"mss": "tcpmss match {!}{}"}},
		"tos":       {fn: tosForm},
		"dscp":      {opts: map[string]string{"dscp": "DSCP match {!}{}"}},
		"pkttype": {fn: func(_ *lister, _ *xtables.Rule, os []opt) string {
			return " PKTTYPE " + os[0].bang("!") + "= " + first(os)
		}},
		"esp":    {fn: spiForm("esp", "espspi")},
		"ah":     {fn: ahForm},
		"ipcomp": {opts: map[string]string{"ipcompspi": "comp spi:{!}{}"}, head: ""},
		"frag":   {fn: fragForm},
		"hbh":    exthdr("hbh"),
		"dst":    exthdr("dst"),
		"rt": {fn: func(_ *lister, _ *xtables.Rule, os []opt) string {
			s := " rt"
			for i := range os {
				switch o := &os[i]; o.name {
				case "rt-type":
					s += " type:" + o.bang("!") + o.val()
				case "rt-segsleft":
					s += " segsleft" + plural(o)
				case "rt-len":
					s += " length:" + o.bang("!") + o.val()
				case "rt-0-res":
					s += " reserved"
				case "rt-0-addrs":
					s += " 0-addrs " + o.val()
				case "rt-0-not-strict":
					s += " 0-not-strict"
				}
			}
			return s
		}},
		"ipv6header": {fn: headerForm},
		"mh":         {fn: mhForm},
		"eui64":      {fn: func(*lister, *xtables.Rule, []opt) string { return "eui64 " }},
		"srh":        {fn: srhForm},
		"ecn": {head: "ECN match", opts: map[string]string{"ecn-tcp-ece": "{!}ECE", "ecn-tcp-cwr": "{!}CWR",
			"ecn-ip-ect": "{!}ECT={}"}},
		"helper": {fn: func(_ *lister, _ *xtables.Rule, os []opt) string {
			return ` helper match ` + os[0].bang("! ") + `"` + unquote(first(os)) + `"`
		}},
		"owner": {opts: map[string]string{"uid-owner": "{! }owner UID match {}", "gid-owner": "{! }owner GID match {}",
			"socket-exists": "{! }owner socket exists", "suppl-groups": "incl. suppl. groups"}},
		"quota":     {opts: map[string]string{"quota": "quota: {} bytes"}},
		"realm":     {},
		"cpu":       {opts: map[string]string{"cpu": "cpu {! }{}"}},
		"devgroup":  {},
		"connbytes": {opts: map[string]string{"connbytes-mode": "connbytes mode {}", "connbytes-dir": "connbytes direction {}"}},
		"connlabel": {fn: func(_ *lister, _ *xtables.Rule, os []opt) string {
			s := " connlabel " + os[0].bang("! ") + unquote(first(os))
			if find(os, "set") != nil {
				s += " set"
			}
			return s
		}},
		"connlimit": {fn: connlimitForm},
		"cluster": {head: "cluster", opts: map[string]string{"cluster-local-nodemask": "{!}node_mask={}",
			"cluster-local-node": "{!}node={}", "cluster-total-nodes": "total_nodes={}", "cluster-hash-seed": "hash_seed={}"}},
		"hashlimit": {fn: hashlimitForm},
		"recent":    {fn: recentForm},
		"rpfilter":  {head: "rpfilter"},
		"string":    {fn: stringForm},
		"time":      {fn: timeForm},
		"u32":       {opts: map[string]string{"u32": "u32 {! }{}"}},
		"bpf": {fn: func(_ *lister, _ *xtables.Rule, os []opt) string {
			_, code, _ := strings.Cut(unquote(first(os)), ",")
			return "match bpf " + code + "\x00"
		}},
		"policy": {fn: policyForm},
		"set":    {opts: map[string]string{"match-set": "{! }match-set {}"}},
		"socket": {head: "socket", opts: map[string]string{"transparent": "--transparent", "nowildcard": "--nowildcard", "restore-skmark": "--restore-skmark"}},
		"osf":    {opts: map[string]string{"genre": "OS fingerprint match {! }{}", "ttl": "", "log": ""}},
		"nfacct": {opts: map[string]string{"nfacct-name": "nfacct-name  {}"}},
	}
}

func find(os []opt, name string) *opt {
	if i := slices.IndexFunc(os, func(o opt) bool { return o.name == name }); i >= 0 {
		return &os[i]
	}
	return nil
}

// first is the value of the first option.
func first(os []opt) string {
	if len(os) == 0 {
		return ""
	}
	return os[0].val()
}

// plural is ":N", or "s:A:B" for a range.
func plural(o *opt) string {
	if strings.Contains(o.val(), ":") {
		return "s:" + o.bang("!") + o.val()
	}
	return ":" + o.bang("!") + o.val()
}

// port is a port, by name unless -n was given.
func (l *lister) port(s, proto string) string {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil && !l.numeric {
		if name, ok := names.ServiceName(uint16(n), proto); ok {
			return name
		}
	}
	return s
}

func (l *lister) ports(s, proto string) string {
	a, b, ok := strings.Cut(s, ":")
	if !ok {
		return l.port(s, proto)
	}
	return l.port(a, proto) + ":" + l.port(b, proto)
}

// portForm is tcp, udp, sctp and dccp.
func portForm(proto string) func(*lister, *xtables.Rule, []opt) string {
	return func(l *lister, _ *xtables.Rule, os []opt) string {
		s := " " + proto
		for i := range os {
			o := &os[i]
			switch o.name {
			case "sport", "dport":
				many := ""
				if strings.Contains(o.val(), ":") {
					many = "s"
				}
				s += " " + o.name[:1] + "pt" + many + ":" + o.bang("!") + l.ports(o.val(), proto)
			case "tcp-option", "dccp-option":
				s += " option=" + o.bang("!") + o.val()
			case "tcp-flags":
				a, b := o.vals[0], o.vals[1]
				if l.numeric {
					a, b = fmt.Sprintf("0x%02X", tcpBits(a)), fmt.Sprintf("0x%02X", tcpBits(b))
				}
				s += " flags:" + o.bang("!") + a + "/" + b
			case "chunk-types":
				s += " " + o.bang("! ") + o.vals[0] + " " + l.chunks(o.vals[1])
			case "dccp-types":
				s += " " + o.bang("! ") + l.dccpTypes(o.val())
			}
		}
		return s
	}
}

func tcpBits(s string) (n int) {
	for _, w := range strings.Split(s, ",") {
		if i := slices.Index([]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}, w); i >= 0 {
			n |= 1 << i
		}
	}
	return n
}

// chunks are the chunk types of SCTP, by number with -n.
func (l *lister) chunks(s string) string {
	if !l.numeric || s == "ALL" || s == "NONE" {
		return s
	}
	num := map[string]int{"DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "HEARTBEAT_ACK": 5, "ABORT": 6,
		"SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10, "COOKIE_ACK": 11, "ECN_ECNE": 12, "ECN_CWR": 13,
		"SHUTDOWN_COMPLETE": 14, "I_DATA": 64, "ASCONF_ACK": 128, "RE_CONFIG": 130, "PAD": 132, "FORWARD_TSN": 192,
		"ASCONF": 193, "I_FORWARD_TSN": 194}
	var out []string
	for _, w := range strings.Split(s, ",") {
		name, flags, has := strings.Cut(w, ":")
		t := fmt.Sprintf("0x%04X", num[name])
		if has {
			t += ":" + flags
		}
		out = append(out, t)
	}
	return strings.Join(out, ",")
}

func (l *lister) dccpTypes(s string) string {
	if !l.numeric {
		return s
	}
	all := []string{"REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC", "SYNCACK"}
	var out []string
	for _, w := range strings.Split(s, ",") {
		if w == "INVALID" {
			out = append(out, "10", "11", "12", "13", "14", "15")
		} else {
			out = append(out, strconv.Itoa(slices.Index(all, w)))
		}
	}
	return strings.Join(out, ",")
}

func icmpForm(l *lister, _ *xtables.Rule, os []opt) string {
	head := " icmp"
	if l.family == packet.IPv6 {
		head = " ipv6-icmp"
	}
	o := &os[0]
	if !l.numeric && o.val() == "any" {
		return head + " " + o.bang("!") + "any"
	}
	typ, code, has := strings.Cut(o.val(), "/")
	if typ == "any" {
		typ = "255"
	}
	if !l.numeric {
		t, _ := strconv.Atoi(typ)
		from, to := 0, 255
		if has {
			from, _ = strconv.Atoi(code)
			to = from
		}
		for _, n := range names.ICMPTypes(l.family) {
			if int(n.Type) == t && int(n.Code) == from && int(n.Last) == to {
				return head + " " + o.bang("!") + n.Name
			}
		}
	}
	s := head + o.bang(" !") + "type " + typ
	if has {
		s += " code " + code
	}
	return s
}

func multiportForm(l *lister, r *xtables.Rule, os []opt) string {
	proto, _ := names.ProtocolName(r.Base.Proto)
	o := &os[0]
	var out []string
	for _, p := range strings.Split(o.val(), ",") {
		out = append(out, l.ports(p, proto))
	}
	return " multiport " + o.name + " " + o.bang(" !") + strings.Join(out, ",")
}

// hops is ttl and hl.
func hops(head, name string, os []opt) string {
	o := &os[0]
	op := map[string]string{name + "-eq": "==", name + "-lt": "<", name + "-gt": ">"}[o.name]
	if o.not {
		op = "!="
	}
	return " " + head + " match " + head + " " + op + " " + o.val()
}

// tosName is the name of a type of service with the mask that belongs to it.
func (l *lister) tosName(v string) string {
	if l.numeric {
		return ""
	}
	a, m, _ := strings.Cut(v, "/")
	n, err := strconv.ParseUint(strings.TrimPrefix(a, "0x"), 16, 8)
	if err != nil || m != "0x3f" {
		return ""
	}
	for _, t := range names.TOSNames() {
		if uint64(t.Value) == n {
			return t.Name
		}
	}
	return ""
}

func tosForm(l *lister, _ *xtables.Rule, os []opt) string {
	o := &os[0]
	if n := l.tosName(o.val()); n != "" {
		return " tos match" + o.bang("!") + " " + n
	}
	return " tos match" + o.bang("!") + o.val()
}

func spiForm(head, name string) func(*lister, *xtables.Rule, []opt) string {
	return func(_ *lister, _ *xtables.Rule, os []opt) string {
		if o := find(os, name); o != nil {
			return " " + head + " spi" + plural(o)
		}
		return " " + head
	}
}

func ahForm(l *lister, r *xtables.Rule, os []opt) string {
	if l.family == packet.IPv4 {
		return spiForm("ah", "ahspi")(l, r, os)
	}
	s := " ah "
	if o := find(os, "ahspi"); o != nil {
		s += "spi" + plural(o)
	}
	if o := find(os, "ahlen"); o != nil {
		s += "length:" + o.bang("!") + o.val()
	}
	if find(os, "ahres") != nil {
		s += " reserved"
	}
	return s
}

func fragForm(_ *lister, _ *xtables.Rule, os []opt) string {
	s := " frag "
	if o := find(os, "fragid"); o != nil {
		s += "id" + plural(o)
	}
	if o := find(os, "fraglen"); o != nil {
		s += " length:" + o.bang("!") + o.val()
	}
	for _, f := range [][2]string{{"fragres", "reserved"}, {"fragfirst", "first"}, {"fragmore", "more"}, {"fraglast", "last"}} {
		if find(os, f[0]) != nil {
			s += " " + f[1]
		}
	}
	return s
}

func headerForm(l *lister, _ *xtables.Rule, os []opt) string {
	o := find(os, "header")
	s := " ipv6header"
	if o != nil {
		s += " flags:" + o.bang("!")
		if l.numeric {
			bits := 0
			all := []string{"proto", "ipv6-nonxt", "esp", "ah", "ipv6-frag", "ipv6-route", "ipv6-opts", "hop-by-hop"}
			for _, w := range strings.Split(o.val(), ",") {
				if i := slices.Index(all, w); i >= 0 {
					bits |= 1 << i
				}
			}
			s += fmt.Sprintf("0x%02X", bits)
		} else {
			s += o.val()
		}
	}
	if find(os, "soft") != nil {
		s += " soft"
	}
	return s
}

func mhForm(l *lister, _ *xtables.Rule, os []opt) string {
	o := find(os, "mh-type")
	if o == nil {
		return " mh"
	}
	var out []string
	for _, v := range strings.Split(o.val(), ":") {
		all := []string{"binding-refresh-request", "home-test-init", "careof-test-init", "home-test", "careof-test",
			"binding-update", "binding-acknowledgement", "binding-error"}
		if n, err := strconv.Atoi(v); err == nil && n < len(all) && !l.numeric {
			v = all[n]
		}
		out = append(out, v)
	}
	return " mh " + o.bang("!") + strings.Join(out, ":")
}

func srhForm(_ *lister, _ *xtables.Rule, os []opt) string {
	s := " srh"
	for i := range os {
		o := &os[i]
		n := strings.TrimPrefix(o.name, "srh-")
		if strings.HasSuffix(n, "sid") {
			s += " " + n + " " + o.bang("!") + " " + o.val()
		} else {
			s += " " + n + ":" + o.bang("!") + o.val()
		}
	}
	return s
}

func connlimitForm(_ *lister, _ *xtables.Rule, os []opt) string {
	side, op, n, mask := "src", ">", "", ""
	for i := range os {
		switch o := &os[i]; o.name {
		case "connlimit-above":
			n = o.val()
		case "connlimit-upto":
			op, n = "<=", o.val()
		case "connlimit-mask":
			mask = o.val()
		case "connlimit-daddr":
			side = "dst"
		}
	}
	return " #conn " + side + "/" + mask + " " + op + " " + n
}

func hashlimitForm(_ *lister, _ *xtables.Rule, os []opt) string {
	s := " limit:"
	scaled := ""
	for i := range os {
		o := &os[i]
		switch n := strings.TrimPrefix(o.name, "hashlimit-"); n {
		case "upto":
			scaled = perInterval(o.val(), os)
			s += " up to " + scaled
		case "above":
			scaled = perInterval(o.val(), os)
			s += " above " + scaled
		case "htable-expire":
			if find(os, "hashlimit-rate-match") == nil {
				s += " " + n + " " + o.val()
			}
		case "rate-match": // entries last for one unit of the rate, if nobody says otherwise
			expire := "1000"
			if e := find(os, "hashlimit-htable-expire"); e != nil {
				expire = e.val()
			}
			_, unit, _ := strings.Cut(scaled, "/")
			if expire != map[string]string{"sec": "1000", "min": "60000", "hour": "3600000", "day": "86400000"}[unit] {
				s += " htable-expire " + expire
			}
			s += " " + n
		case "name":
		case "mode":
			s += " mode " + strings.ReplaceAll(o.val(), ",", "-")
		default:
			if s += " " + n; len(o.vals) > 0 {
				s += " " + o.val()
			}
		}
	}
	return s
}

// perInterval is a rate of --hashlimit-rate-match, which -L divides by the
// interval, in the unit that leaves the least over.
func perInterval(rate string, os []opt) string {
	o := find(os, "hashlimit-rate-interval")
	num, _, _ := strings.Cut(rate, "/")
	n, err := strconv.ParseUint(num, 10, 32)
	if o == nil || find(os, "hashlimit-rate-match") == nil || err != nil || n == 0 {
		return rate
	}
	every, err := strconv.ParseUint(o.val(), 10, 32)
	period := 1_000_000 * every / n
	if err != nil || period == 0 {
		return rate
	}
	units := []struct {
		name string
		mult uint64
	}{{"day", 86400e6}, {"hour", 3600e6}, {"min", 60e6}, {"sec", 1e6}}
	i := 1
	for i < len(units) && period <= units[i].mult && units[i].mult/period >= units[i].mult%period {
		i++
	}
	return strconv.FormatUint(units[i-1].mult/period, 10) + "/" + units[i-1].name
}

func recentForm(_ *lister, _ *xtables.Rule, os []opt) string {
	s, side := " "+os[0].bang("! ")+"recent:", "source"
	name, mask := "", ""
	for i := range os {
		switch o := &os[i]; o.name {
		case "set":
			s += " SET"
		case "rcheck":
			s += " CHECK"
		case "update":
			s += " UPDATE"
		case "remove":
			s += " REMOVE"
		case "seconds":
			s += " seconds: " + o.val()
		case "reap":
			s += " reap"
		case "hitcount":
			s += " hit_count: " + o.val()
		case "rttl":
			s += " TTL-Match"
		case "name":
			name = o.val()
		case "mask":
			mask = o.val()
		case "rdest":
			side = "dest"
		}
	}
	return s + " name: " + name + " side: " + side + " mask: " + mask
}

func stringForm(_ *lister, _ *xtables.Rule, os []opt) string {
	s := " STRING match "
	for i := range os {
		switch o := &os[i]; o.name {
		case "string", "hex-string":
			s += o.bang("!") + " " + o.val()
		case "algo":
			s += " ALGO name " + o.val()
		case "from":
			s += " FROM " + o.val()
		case "to":
			s += " TO " + o.val()
		case "icase":
			s += " ICASE"
		}
	}
	return s
}

func timeForm(_ *lister, _ *xtables.Rule, os []opt) string {
	s := " TIME"
	start, stop := find(os, "timestart"), find(os, "timestop")
	if start != nil || stop != nil {
		from, to := "00:00:00", "23:59:59"
		if start != nil {
			from = start.val()
		}
		if stop != nil {
			to = stop.val()
		}
		s += " from " + from + " to " + to
	}
	if o := find(os, "weekdays"); o != nil {
		s += " on " + o.val()
	}
	if o := find(os, "monthdays"); o != nil {
		var days []string
		for _, d := range strings.Split(o.val(), ",") {
			end := "th"
			switch d[len(d)-1] {
			case '1':
				end = "st"
			case '2':
				end = "nd"
			case '3':
				end = "rd"
			}
			days = append(days, d+end)
		}
		s += " on " + strings.Join(days, ",")
	}
	if o := find(os, "datestart"); o != nil {
		s += " starting from " + strings.Replace(o.val(), "T", " ", 1)
	}
	if o := find(os, "datestop"); o != nil && o.val() != "2038-01-19T03:14:07" {
		s += " until date " + strings.Replace(o.val(), "T", " ", 1)
	}
	if find(os, "kerneltz") == nil {
		s += " UTC"
	}
	if find(os, "contiguous") != nil {
		s += " contiguous"
	}
	return s
}

func policyForm(l *lister, _ *xtables.Rule, os []opt) string {
	s := " policy match"
	strict := find(os, "strict") != nil
	element, open := 0, false
	for i := range os {
		o := &os[i]
		switch o.name {
		case "dir", "pol":
			s += " " + o.name + " " + o.val()
			continue
		case "strict":
			s += " strict"
			continue
		case "next":
			element++
			open = false
			continue
		}
		if strict && !open {
			s += fmt.Sprintf(" [%d]", element)
			open = true
		}
		v := o.val()
		if n, ok := names.Protocol(v); ok && o.name == "proto" && l.numeric {
			v = strconv.Itoa(int(n))
		}
		s += " " + o.bang("! ") + o.name + " " + v
	}
	return s
}

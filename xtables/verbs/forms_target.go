package verbs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weir/packet"
	"weir/xtables"
)

// targetForm is how -L prints a target.
func targetForm(name string) (form, bool) {
	f, ok := targetForms()[name]
	return f, ok
}

func targetForms() map[string]form {
	nat := form{opts: map[string]string{"to-destination": "to:{}", "to-source": "to:{}", "to": "to:{}", "to-ports": "redir ports {}"}}
	hop := func(head, name string) form {
		return form{head: head, opts: map[string]string{name + "-set": "set to {}", name + "-inc": "increment by {}", name + "-dec": "decrement by {}"}}
	}
	return map[string]form{
		"DNAT": nat, "SNAT": nat, "NETMAP": nat, "REDIRECT": nat,
		"MASQUERADE":  {opts: map[string]string{"to-ports": "masq ports: {}"}},
		"REJECT":      {},
		"LOG":         {fn: logForm},
		"AUDIT":       {head: "AUDIT", opts: map[string]string{"type": "{}"}},
		"MARK":        {head: "MARK", opts: nil, fn: markForm("MARK")},
		"CONNMARK":    {fn: markForm("CONNMARK")},
		"CLASSIFY":    {fn: classifyForm},
		"CHECKSUM":    {head: "CHECKSUM", opts: map[string]string{"checksum-fill": "fill"}},
		"DSCP":        {head: "DSCP", opts: map[string]string{"set-dscp": "set {}"}},
		"ECN":         {head: "ECN", opts: map[string]string{"ecn-tcp-remove": "TCP remove", "ecn-tcp-ece": "ECE={}", "ecn-tcp-cwr": "CWR={}", "ecn-ip-ect": "ECT codepoint={}"}},
		"TTL":         hop("TTL", "ttl"),
		"HL":          hop("HL", "hl"),
		"TOS":         {fn: tosTargetForm},
		"TCPMSS":      {head: "TCPMSS", opts: map[string]string{"set-mss": "set {}", "clamp-mss-to-pmtu": "clamp to PMTU"}},
		"TCPOPTSTRIP": {fn: stripForm},
		"IDLETIMER":   {opts: map[string]string{"timeout": "timeout:{}", "label": "label:{}", "alarm": "alarm"}},
		"NFLOG":       {},
		"NFQUEUE": {head: "NFQUEUE", opts: map[string]string{"queue-num": "num {}", "queue-balance": "balance {}",
			"queue-bypass": "bypass", "queue-cpu-fanout": "cpu-fanout"}},
		"CONNSECMARK": {head: "CONNSECMARK"},
		"TEE":         {head: "TEE", opts: map[string]string{"gateway": "gw:{}", "oif": "oif={}"}},
		"HMARK":       {fn: hmarkForm},
		"DNPT":        {head: "DNPT"},
		"SNPT":        {head: "SNPT"},
		"CT":          {head: "CT"},
		"NOTRACK":     {head: "NOTRACK"},
		"TRACE":       {},
		"SYNPROXY":    {head: "SYNPROXY"},
		"SECMARK":     {head: "SECMARK", opts: map[string]string{"selctx": "selctx {}"}},
		"SET":         {},
		"RATEEST":     {fn: rateestForm},
		"TPROXY":      {fn: tproxyForm},
	}
}

func logForm(l *lister, _ *xtables.Rule, os []opt) string {
	level, prefix := "4", ""
	names := [][2]string{{"log-tcp-sequence", "tcp-sequence"}, {"log-tcp-options", "tcp-options"}, {"log-ip-options", "ip-options"},
		{"log-uid", "uid"}, {"", ""}, {"log-macdecode", "macdecode"}}
	flags := 0
	words := ""
	for i := range os {
		o := &os[i]
		switch o.name {
		case "log-level":
			level = o.val()
		case "log-prefix":
			prefix = ` prefix "` + unquote(o.val()) + `"`
		default:
			for k, n := range names {
				if n[0] == o.name {
					flags |= 1 << k
					words += " " + n[1]
				}
			}
		}
	}
	if l.numeric {
		return fmt.Sprintf(" LOG flags %d level %s%s", flags, level, prefix)
	}
	if n, err := strconv.Atoi(level); err == nil && n < 8 {
		level = []string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}[n]
	}
	return " LOG level " + level + words + prefix
}

// xmark are value and mask of --set-xmark.
func xmark(s string) (v, m uint32) {
	a, b, _ := strings.Cut(s, "/")
	x, _ := strconv.ParseUint(a, 0, 32)
	y, _ := strconv.ParseUint(b, 0, 32)
	return uint32(x), uint32(y)
}

// markForm is MARK and CONNMARK.
func markForm(head string) func(*lister, *xtables.Rule, []opt) string {
	return func(_ *lister, _ *xtables.Rule, os []opt) string {
		s := " " + head
		nf, ct := uint32(1<<32-1), uint32(1<<32-1)
		if o := find(os, "nfmask"); o != nil {
			nf, _ = xmark(o.val())
		}
		if o := find(os, "ctmask"); o != nil {
			ct, _ = xmark(o.val())
		}
		for i := range os {
			o := &os[i]
			switch o.name {
			case "set-xmark":
				switch v, m := xmark(o.val()); {
				case v == 0:
					s += fmt.Sprintf(" and 0x%x", ^m)
				case v == m:
					s += fmt.Sprintf(" or 0x%x", v)
				case m == 0:
					s += fmt.Sprintf(" xor 0x%x", v)
				case m == 1<<32-1:
					s += fmt.Sprintf(" set 0x%x", v)
				default:
					s += fmt.Sprintf(" xset 0x%x/0x%x", v, m)
				}
			case "save-mark", "restore-mark":
				name := strings.TrimSuffix(o.name, "-mark")
				switch {
				case nf == ct && nf == 1<<32-1:
					s += " " + name
				case nf == ct:
					s += fmt.Sprintf(" %s mask 0x%x", name, nf)
				case name == "save":
					s += fmt.Sprintf(" save nfmask 0x%x ctmask ~0x%x", nf, ct)
				default:
					s += fmt.Sprintf(" restore ctmask 0x%x nfmask ~0x%x", ct, nf)
				}
			case "left-shift-mark", "right-shift-mark":
				s += " " + o.name + " " + o.val()
			}
		}
		return s
	}
}

func classifyForm(_ *lister, _ *xtables.Rule, os []opt) string {
	a, b, _ := strings.Cut(first(os), ":")
	short := func(s string) string {
		if s = strings.TrimLeft(s, "0"); s == "" {
			return "0"
		}
		return s
	}
	return " CLASSIFY set " + short(a) + ":" + short(b)
}

func tosTargetForm(l *lister, _ *xtables.Rule, os []opt) string {
	v := first(os)
	if n := l.tosName(v); n != "" {
		return "  TOS set" + n
	}
	a, m, _ := strings.Cut(v, "/")
	x, _ := strconv.ParseUint(a, 0, 8)
	y, _ := strconv.ParseUint(m, 0, 8)
	switch {
	case l.numeric:
	case x == 0:
		return fmt.Sprintf(" TOS and 0x%02x", ^uint8(y))
	case x == y:
		return " TOS or " + a
	case y == 0:
		return " TOS xor " + a
	}
	return " TOS set " + v
}

func stripForm(l *lister, _ *xtables.Rule, os []opt) string {
	if len(os) == 0 {
		return ""
	}
	known := map[string]string{"2": "mss", "3": "wscale", "4": "sack-permitted", "5": "sack", "8": "timestamp", "19": "md5"}
	var out []string
	for _, w := range strings.Split(first(os), ",") {
		if n := known[w]; n != "" && !l.numeric {
			w = n
		}
		out = append(out, w)
	}
	return " TCPOPTSTRIP options " + strings.Join(out, ",")
}

// hmarkForm prints numbers short, and forgets the prefixes of IPv6, as iptables
// does.
func hmarkForm(l *lister, _ *xtables.Rule, os []opt) string {
	s := " HMARK "
	hex := func(v string) string {
		n, _ := strconv.ParseUint(v, 0, 32)
		return fmt.Sprintf("0x%x", n)
	}
	get := func(n string) string {
		if o := find(os, "hmark-"+n); o != nil {
			return o.val()
		}
		return ""
	}
	if v := get("mod"); v != "" {
		s += "mod " + v + " "
	}
	if v := get("offset"); v != "" {
		s += "+ " + hex(v) + " "
	}
	if slices.Contains(strings.Split(get("tuple"), ","), "ct") {
		s += "ct, "
	}
	for _, n := range []string{"src-prefix", "dst-prefix"} {
		if v := get(n); v != "" {
			if l.family == packet.IPv6 {
				v = ""
			}
			s += n + " " + v + " "
		}
	}
	for _, n := range []string{"sport-mask", "dport-mask", "spi-mask", "sport", "dport", "spi", "proto-mask", "rnd"} {
		if v := get(n); v != "" {
			s += n + " " + hex(v) + " "
		}
	}
	return s
}

func tproxyForm(l *lister, _ *xtables.Rule, os []opt) string {
	addr, port, mark := "0.0.0.0", "0", ""
	if l.family == packet.IPv6 {
		addr = "::"
	}
	for i := range os {
		switch o := &os[i]; o.name {
		case "on-ip":
			addr = o.val()
		case "on-port":
			port = o.val()
		case "tproxy-mark":
			mark = o.val()
		}
	}
	if mark == "" {
		mark = "0x0/0x0"
	}
	return " TPROXY redirect " + addr + ":" + port + " mark " + mark
}

func rateestForm(_ *lister, _ *xtables.Rule, os []opt) string {
	s := " "
	for i := range os {
		if i > 0 {
			s += " "
		}
		s += "name: " + os[i].val()
	}
	return s
}

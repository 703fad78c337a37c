package control

import (
	"io"
	"net/http"
	"strings"

	"weir/engine"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
)

// flag reads a parameter that is there or not.
func flag(q *http.Request, name string) (bool, error) {
	switch v := q.URL.Query().Get(name); v {
	case "":
		return q.URL.Query().Has(name), nil
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	default:
		return false, bad("%s: %q is neither true nor false", name, v)
	}
}

// rules is iptables-save: text.
func (s *Server) rules(w http.ResponseWriter, q *http.Request) error {
	f, err := familyOf(q)
	if err != nil {
		return err
	}
	table, err := tableOf(q)
	if err != nil {
		return err
	}
	counters, err := flag(q, "counters")
	if err != nil {
		return err
	}
	var b []byte
	s.target.Do(func(m *engine.Machine) {
		rs := m.Rules(f)
		if table != "" && rs != nil {
			rs = &xtables.Ruleset{Family: f}
			if t := m.Rules(f).Table(table); t != nil {
				rs.Tables = append(rs.Tables, t)
			}
		}
		b = save.Append(nil, rs, counters)
	})
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(b)
	return nil
}

// restore is iptables-restore: the body is the text. All tables of it are taken
// together or not at all.
func (s *Server) restore(w http.ResponseWriter, q *http.Request) error {
	f, err := familyOf(q)
	if err != nil {
		return err
	}
	c := Call{Program: "iptables-restore"}
	if f == packet.IPv6 {
		c.Program = "ip6tables-restore"
	}
	for _, o := range []struct{ name, arg string }{{"noflush", "-n"}, {"counters", "-c"}, {"test", "-t"}} {
		on, err := flag(q, o.name)
		if err != nil {
			return err
		}
		if on {
			c.Args = append(c.Args, o.arg)
		}
	}
	table, err := tableOf(q)
	if err != nil {
		return err
	}
	if table != "" {
		c.Args = append(c.Args, "-T", table)
	}
	if c.Stdin, err = io.ReadAll(q.Body); err != nil {
		return err
	}
	c.NoStdin = true
	a, err := s.run(c, true)
	if err != nil {
		return err
	}
	if a.Status != 0 {
		return &problem{http.StatusUnprocessableEntity, strings.TrimSpace(string(a.Stderr))}
	}
	return reply(w, struct{}{})
}

// Chain is a chain with its rules and what they counted.
type Chain struct {
	Family  string `json:"family"`
	Table   string `json:"table"`
	Name    string `json:"name"`
	Policy  string `json:"policy,omitempty"`
	Packets uint64 `json:"packets"` // that came to the policy, or to the chain's end
	Bytes   uint64 `json:"bytes"`
	Rules   []Rule `json:"rules"`
}

// Rule is a rule and what it counted.
type Rule struct {
	Text    string `json:"text"`   // as iptables-save prints it behind -A CHAIN
	Target  string `json:"target"` // empty if it only counts
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// Share is the part of the packets that came to this chain that this rule
	// matched, 0 to 1, as far as the chain's own counters say.
	Share float64 `json:"share"`
}

// Chains lists the rules of a family with their counters.
func (s *Server) Chains(f packet.Family, table string) []Chain {
	list := []Chain{}
	s.target.Do(func(m *engine.Machine) {
		rs := m.Rules(f)
		if rs == nil {
			return
		}
		for _, t := range rs.Tables {
			if table != "" && t.Name != table {
				continue
			}
			for _, c := range t.Chains {
				list = append(list, chainOf(t, c))
			}
		}
	})
	for i := range list {
		list[i].share()
	}
	return list
}

func chainOf(t *xtables.Table, c *xtables.Chain) Chain {
	x := Chain{Family: familyName(t.Family), Table: t.Name, Name: c.Name, Rules: make([]Rule, 0, len(c.Rules))}
	if c.Builtin {
		x.Policy = c.Policy.String()
	}
	end := t.Counter(c, len(c.Rules))
	x.Packets, x.Bytes = end.Packets, end.Bytes
	for i, r := range c.Rules {
		n := t.Counter(c, i)
		x.Rules = append(x.Rules, Rule{Text: strings.TrimSpace(string(r.Append(nil))), Target: r.Target.Name, Packets: n.Packets, Bytes: n.Bytes})
	}
	return x
}

// share fills in the shares.
func (c *Chain) share() {
	all := c.Packets
	for i := range c.Rules {
		all += c.Rules[i].Packets
	}
	for i := range c.Rules {
		if all > 0 {
			c.Rules[i].Share = float64(c.Rules[i].Packets) / float64(all)
		}
	}
}

func familyName(f packet.Family) string {
	if f == packet.IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

func (s *Server) listRules(w http.ResponseWriter, q *http.Request) error {
	f, err := familyOf(q)
	if err != nil {
		return err
	}
	table, err := tableOf(q)
	if err != nil {
		return err
	}
	return reply(w, s.Chains(f, table))
}

// Comment is the text of a rule's -m comment.
func (r *Rule) Comment() (string, bool) {
	_, rest, ok := strings.Cut(" "+r.Text, " --comment ")
	if !ok {
		return "", false
	}
	if !strings.HasPrefix(rest, `"`) {
		word, _, _ := strings.Cut(rest, " ")
		return word, true
	}
	var b strings.Builder
	for i := 1; i < len(rest) && rest[i] != '"'; i++ {
		if rest[i] == '\\' && i+1 < len(rest) {
			i++
		}
		b.WriteByte(rest[i])
	}
	return b.String(), true
}

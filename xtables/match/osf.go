package match

import (
	"fmt"

	"weir/hook"
	"weir/osf"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// OSF is -m osf: the first segment of a connection looks like that of an
// operating system.
func OSF() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "osf", Families: xtables.V4, Protos: []uint8{packet.TCP},
		Points: hook.MaskOf(hook.Prerouting, hook.Input, hook.Forward),
		Options: []xtables.Option{
			{Name: "genre", Args: xtables.OneArg}, {Name: "ttl", Args: xtables.OneArg, NoInvert: true}, {Name: "log", Args: xtables.OneArg, NoInvert: true},
		},
		Parse: parseOSF,
		Doc:   "all options; the fingerprints are those of pf.os in the machine directory",
	}
}

type osfMatch struct {
	fingers      *osf.List
	genre        string
	not          bool
	ttl, log     uint8
	hasTTL, logs bool
}

func parseOSF(c *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	if err := args.Need(given, "genre"); err != nil {
		return nil, err
	}
	m := &osfMatch{fingers: c.Known.Fingerprints}
	for i := range given {
		g := &given[i]
		if g.Name == "genre" {
			m.genre, m.not = args.Cut(args.Text(g), osf.MaxName), g.Invert
			continue
		}
		n, err := args.Uint(g, 0, 2)
		if err != nil {
			return nil, err
		}
		if g.Name == "ttl" {
			m.ttl, m.hasTTL = uint8(n), true
		} else {
			m.log, m.logs = uint8(n), true
		}
	}
	return m, nil
}

// Match follows Linux net/netfilter/xt_osf.c, where a rule that logs matches any
// system that is known.
func (m *osfMatch) Match(t *hook.Traversal) bool {
	var s osf.Segment
	if !s.Read(t.Pkt) {
		return false
	}
	genre := &m.genre
	if m.logs {
		genre = nil
	}
	n := m.fingers.Next(&s, 0, genre, osf.TTL(m.ttl))
	if m.logs && t.Env.Log != nil {
		m.tell(t, &s, n)
	}
	return n >= 0
}

// tell logs the systems that fit, or that none is known; with --log 1 the first
// alone.
func (m *osfMatch) tell(t *hook.Traversal, s *osf.Segment, n int) {
	p := t.Pkt
	h := p.HeaderLen()
	ends := func() string {
		port := func(at int) int { return int(p.Data[h+at])<<8 | int(p.Data[h+at+1]) }
		return fmt.Sprintf("%s:%d -> %s:%d", p.Src().IP(p.Family), port(0), p.Dst().IP(p.Family), port(2))
	}
	if n < 0 {
		t.Env.Log.Log(t, hook.LogRecord{Source: "osf", Level: 5, Text: "Remote OS is not known: " + ends()})
	}
	for ; n >= 0; n = m.fingers.Next(s, n+1, nil, osf.TTL(m.ttl)) {
		f := m.fingers.At(n)
		t.Env.Log.Log(t, hook.LogRecord{Source: "osf", Level: 5,
			Text: fmt.Sprintf("%s [%s:%s] : %s hops=%d", f.Genre, f.Version, f.Subtype, ends(), s.Hops(f))})
		if m.log == 1 {
			return
		}
	}
}

func (m *osfMatch) Explain(t *hook.Traversal) string {
	var s osf.Segment
	if !s.Read(t.Pkt) {
		return "it is no first segment"
	}
	if n := m.fingers.Next(&s, 0, nil, osf.TTL(m.ttl)); n >= 0 {
		f := m.fingers.At(n)
		return "it looks like " + f.Genre + " " + f.Version
	}
	return "no fingerprint fits"
}

func (m *osfMatch) AppendArgs(b []byte) []byte {
	b = args.Word(args.Name(b, m.not, "genre"), m.genre)
	if m.hasTTL {
		b = args.Dec(args.Name(b, false, "ttl"), uint64(m.ttl))
	}
	if m.logs {
		b = args.Dec(args.Name(b, false, "log"), uint64(m.log))
	}
	return b
}

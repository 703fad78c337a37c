package target

import (
	"math"
	"strconv"
	"strings"

	"weir/hook"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Audit is -j AUDIT: writes a record for the audit daemon.
func Audit() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "AUDIT", Families: xtables.Both,
		Options: one("type"),
		Parse:   parseAudit,
		Doc:     "all options; the records go where LOG's lines go",
	}
}

func auditTypes() []string { return []string{"accept", "drop", "reject"} }

type auditTarget struct{ typ int }

func parseAudit(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	if err := args.Need(given, "type"); err != nil {
		return nil, err
	}
	n := args.Enum(strings.ToLower(args.Text(&given[0])), auditTypes(), args.Exact)
	if n < 0 {
		return nil, args.Bad(&given[0], "accept, drop or reject")
	}
	return &auditTarget{n}, nil
}

// auditLevel is the level of syslog at which Linux prints records when no
// daemon takes them.
const auditLevel = 5

// Do writes the record as Linux net/netfilter/xt_AUDIT.c does; the type of the
// rule is not in it.
func (m *auditTarget) Do(t *hook.Traversal) xtables.Code {
	if t.Env == nil || t.Env.Log == nil {
		return xtables.Continue
	}
	p := t.Pkt
	mark := t.Mark
	if mark == 0 {
		mark = math.MaxUint32
	}
	b := strconv.AppendUint([]byte("mark=0x"), uint64(mark), 16)
	b = p.Src().IP(p.Family).AppendTo(append(b, " saddr="...))
	b = p.Dst().IP(p.Family).AppendTo(append(b, " daddr="...))
	b = append(b, " proto="...)
	if p.Family == packet.IPv4 {
		b = strconv.AppendUint(b, uint64(p.Data[9]), 10)
	} else {
		proto, _, _ := packet.SkipExtHdr(p.Data)
		b = strconv.AppendUint(b, uint64(proto), 10)
	}
	t.Env.Log.Log(t, hook.LogRecord{Source: "AUDIT", Level: auditLevel, Text: string(b)})
	return xtables.Continue
}

func (m *auditTarget) AppendArgs(b []byte) []byte {
	return args.Word(args.Name(b, false, "type"), auditTypes()[m.typ])
}

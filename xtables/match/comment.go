package match

import (
	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// Comment is -m comment: always true, it holds words for the reader.
func Comment() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "comment", Families: xtables.Both,
		Options: []xtables.Option{{Name: "comment", Args: xtables.OneArg, NoInvert: true}},
		Parse: func(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
			if err := args.Need(given, "comment"); err != nil {
				return nil, err
			}
			// The kernel's structure has room for 255 bytes; iptables cuts.
			return &commentMatch{args.Cut(args.Text(args.Find(given, "comment")), 255)}, nil
		},
		Doc: "cut to 255 bytes as iptables does",
	}
}

type commentMatch struct{ text string }

func (m *commentMatch) Match(*hook.Traversal) bool { return true }

func (m *commentMatch) AppendArgs(b []byte) []byte {
	return args.Quoted(args.Name(b, false, "comment"), m.text)
}

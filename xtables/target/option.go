package target

import "weir/xtables"

// one is options with an argument, flags options without; no target's option
// takes "!".
func one(names ...string) (o []xtables.Option) {
	for _, n := range names {
		o = append(o, xtables.Option{Name: n, Args: xtables.OneArg, NoInvert: true})
	}
	return o
}

func flags(names ...string) (o []xtables.Option) {
	for _, n := range names {
		o = append(o, xtables.Option{Name: n, NoInvert: true})
	}
	return o
}

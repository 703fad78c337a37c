package match

import "weir/xtables"

// Physdev is -m physdev, which weir refuses: it has no bridges.
func Physdev() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "physdev", Families: xtables.Both,
		Refuse: "weir routes and does not bridge: a packet has no bridge port to ask for",
		Doc:    "no: there are no bridges",
	}
}

package target_test

import (
	"path/filepath"
	"testing"

	"weir/xtables"
	"weir/xtables/internal/exttest"
	"weir/xtables/match"
	"weir/xtables/target"
)

func list() xtables.List {
	return xtables.List{
		Matches: []xtables.MatchExt{match.TCP()},
		Targets: []xtables.TargetExt{
			target.Classify(), target.Connmark(), target.CT(), target.DNAT(), target.DSCP(), target.HL(),
			target.Log(), target.Mark(), target.Masquerade(), target.Netmap(), target.Notrack(),
			target.Redirect(), target.Reject(), target.SNAT(), target.TCPMSS(), target.TOS(), target.Trace(),
			target.TTL(), target.ECN(), target.TCPOptStrip(), target.Checksum(), target.NFQueue(),
			target.NFLog(), target.Tee(), target.Audit(), target.Connsecmark(), target.DNPT(), target.HMark(),
			target.IdleTimer(), target.SNPT(),
		},
	}
}

// What iptables-legacy accepts is accepted and printed as it prints it; what
// it or the kernel refuses is refused.
func TestOptionsAsIptables(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no recorded rules")
	}
	for _, f := range files {
		exttest.Golden(t, list(), f)
	}
}

package linuxdiff

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/internal/gen"
)

// TestKeptCases compares what campaigns found and made small, in every mode.
// A campaign writes new ones here.
func TestKeptCases(t *testing.T) {
	needKernel(t)
	files, err := filepath.Glob("testdata/cases/*.case")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	r := NewRunner()
	defer r.Close()
	packets := 0
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := gen.Read(f)
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), ".case"), func(t *testing.T) {
			for i, m := range []Mode{Remember, Forgetful, Interpret} {
				r.Mode = m
				rep, err := r.replay(c, i == 0)
				if err == nil && rep.Diff != nil {
					// A busy kernel takes packets in lo later than those that
					// come after: what differs must do so twice.
					rep, err = r.Replay(c)
				}
				if err != nil {
					t.Fatal(err)
				}
				if rep.Diff != nil {
					t.Errorf("%s: %s", m, rep.Diff)
				}
				packets += rep.Packets
			}
		})
	}
	t.Logf("%d cases, %d packets", len(files), packets)
}

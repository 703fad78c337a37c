package save_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/packet"
	"weir/xtables"
	"weir/xtables/save"
	"weir/xtables/std"
)

// FuzzParse feeds anything to the parser: it does not panic, every error has a
// place inside the text, and what is accepted prints and formats to a fixed
// point.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		for _, g := range readGolden(f, name) {
			f.Add([]byte(g.text), g.family() == packet.IPv6)
		}
	}
	rules, _ := filepath.Glob("../../examples/*/rules.v4")
	for _, name := range rules {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b, false)
		}
	}
	list := std.List()
	f.Fuzz(func(t *testing.T, src []byte, six bool) {
		fam := packet.IPv4
		if six {
			fam = packet.IPv6
		}
		file, errs := save.Parse("f", src, fam, list)
		lines := strings.Split(string(src), "\n")
		for _, err := range errs {
			e, ok := err.(*xtables.Error)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if e.Pos.File != "f" || e.Pos.Line < 1 || e.Pos.Line > len(lines) || e.Pos.Col < 1 || e.Pos.Col > len(lines[e.Pos.Line-1])+1 {
				t.Fatalf("%v is outside of the text", e)
			}
			if e.Msg == "" || strings.Contains(e.Msg, "\n") {
				t.Fatalf("%q", e.Msg)
			}
		}
		if (file == nil) != (len(errs) > 0) {
			t.Fatalf("file %v, %d errors", file, len(errs))
		}
		fixed(t, "f", src, fam)
	})
}

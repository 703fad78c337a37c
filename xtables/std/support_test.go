package std

import (
	"bytes"
	"flag"
	"os"
	"sort"
	"strings"
	"testing"

	"weir/xtables"
)

var update = flag.Bool("update", false, "write docs/support.md again")

const supportHead = `# What weir has of iptables

Written by ` + "`make docs`" + ` from the descriptions in ` + "`xtables/match`" + ` and ` + "`xtables/target`" + `; do not edit.

ACCEPT, DROP, QUEUE, RETURN, jumps and gotos are complete. A rule with an extension or an option that weir does not have is
refused with its place and the reason.

| extension | kind | families | tables | state | what |
|---|---|---|---|---|---|
`

type supportRow struct{ name, kind, families, tables, state, what string }

func newSupportRow(name, kind string, fs xtables.Families, tables []string, doc string) supportRow {
	r := supportRow{name: name, kind: kind, tables: "all", state: "yes", what: doc}
	r.families = map[xtables.Families]string{xtables.V4: "IPv4", xtables.V6: "IPv6", xtables.Both: "both"}[fs]
	if len(tables) > 0 {
		r.tables = strings.Join(tables, ", ")
	}
	for _, state := range []string{"no", "partly"} {
		if what, ok := strings.CutPrefix(doc, state+": "); ok {
			r.state, r.what = state, what
		}
	}
	if r.what == "yes" {
		r.what = "everything"
	}
	r.what = strings.TrimPrefix(r.what, "yes; ")
	return r
}

func supportPage() []byte {
	var rows []supportRow
	for _, m := range Matches() {
		rows = append(rows, newSupportRow(m.Name, "match", m.Families, m.Tables, m.Doc))
	}
	for _, g := range Targets() {
		rows = append(rows, newSupportRow(g.Name, "target", g.Families, g.Tables, g.Doc))
	}
	sort.SliceStable(rows, func(i, j int) bool {
		if rows[i].kind != rows[j].kind {
			return rows[i].kind < rows[j].kind
		}
		return rows[i].name < rows[j].name
	})
	var b bytes.Buffer
	b.WriteString(supportHead)
	for _, r := range rows {
		b.WriteString("| " + strings.Join([]string{r.name, r.kind, r.families, r.tables, r.state, r.what}, " | ") + " |\n")
	}
	return b.Bytes()
}

// The page is what the code says. -update writes it.
func TestSupportPage(t *testing.T) {
	const file = "../../docs/support.md"
	want := supportPage()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/support.md is not what the code says: make docs")
	}
}

// A Doc that says what is missing says so in the way that the page sorts by.
func TestRefusedIsNo(t *testing.T) {
	for _, m := range Matches() {
		if r := newSupportRow(m.Name, "match", m.Families, nil, m.Doc); (r.state == "no") != (m.Refuse != "") {
			t.Errorf("-m %s: state %s, refused with %q", m.Name, r.state, m.Refuse)
		}
	}
	for _, g := range Targets() {
		if r := newSupportRow(g.Name, "target", g.Families, nil, g.Doc); (r.state == "no") != (g.Refuse != "") {
			t.Errorf("-j %s: state %s, refused with %q", g.Name, r.state, g.Refuse)
		}
	}
}

package std

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/hook"
	"weir/xtables"
)

// constructors are the exported functions of a directory that make an
// extension: their result is xtables.<result>.
func constructors(t *testing.T, dir, result string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			if fn.Name.Name == "init" {
				t.Errorf("%s/%s has an init function: extensions stand on the list of package std", dir, e.Name())
			}
			if fn.Name.IsExported() && fn.Type.Results != nil && len(fn.Type.Results.List) == 1 {
				if s, ok := fn.Type.Results.List[0].Type.(*ast.SelectorExpr); ok && s.Sel.Name == result {
					names = append(names, fn.Name.Name)
				}
			}
		}
	}
	return names
}

func TestEveryExtensionIsListed(t *testing.T) {
	src, err := os.ReadFile("std.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct{ pkg, result string }{{"match", "MatchExt"}, {"target", "TargetExt"}} {
		names := constructors(t, filepath.Join("..", k.pkg), k.result)
		if len(names) == 0 {
			t.Errorf("no extension in %s", k.pkg)
		}
		for _, n := range names {
			if strings.Count(string(src), "\t\t"+k.pkg+"."+n+"(),\n") != 1 {
				t.Errorf("%s.%s does not stand once on the list", k.pkg, n)
			}
		}
	}
}

func TestExtensionsDescribeThemselves(t *testing.T) {
	check := func(kind, name, doc, refuse string, fs xtables.Families, opts []xtables.Option, tables []string, points hook.Mask, parse bool) {
		if name == "" || fs == 0 || fs&^xtables.Both != 0 {
			t.Errorf("%s %q: name or families missing", kind, name)
		}
		if doc == "" {
			t.Errorf("%s %s has no line for docs/support.md", kind, name)
		}
		if parse == (refuse != "") {
			t.Errorf("%s %s: exactly one of Parse and Refuse must be set", kind, name)
		}
		seen := map[string]bool{}
		for _, o := range opts {
			if seen[o.Name] || o.Name == "" || strings.HasPrefix(o.Name, "-") || strings.ContainsAny(o.Name, "= ") {
				t.Errorf("%s %s: option %q", kind, name, o.Name)
			}
			seen[o.Name] = true
		}
		for _, tb := range tables {
			if xtables.TablePoints(tb) == 0 {
				t.Errorf("%s %s: no table %q", kind, name, tb)
			}
		}
		if points>>hook.NumPoints != 0 {
			t.Errorf("%s %s: points %b", kind, name, points)
		}
	}
	seen := map[string]xtables.Families{}
	twice := func(key string, fs xtables.Families) {
		if seen[key]&fs != 0 {
			t.Errorf("%s stands on the list twice", key)
		}
		seen[key] |= fs
	}
	for _, m := range Matches() {
		check("-m", m.Name, m.Doc, m.Refuse, m.Families, m.Options, m.Tables, m.Points, m.Parse != nil)
		twice("-m "+m.Name, m.Families)
	}
	for _, g := range Targets() {
		check("-j", g.Name, g.Doc, g.Refuse, g.Families, g.Options, g.Tables, g.Points, g.Parse != nil)
		if _, ok := xtables.VerdictKind(g.Name); ok {
			t.Errorf("-j %s belongs to package xtables", g.Name)
		}
		twice("-j "+g.Name, g.Families)
	}
}

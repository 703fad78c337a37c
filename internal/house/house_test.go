// Package house holds the rules of the code base as tests: who may import
// whom, that every package says what it is, that nothing registers itself.
package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

const module = "weir"

// layers says how high each package stands. A package imports lower numbers
// only; test aids under internal/ that are not listed may import anything and
// only tests may import them.
var layers = map[string]int{
	"packet": 0, "iface": 0, "trace": 0, "internal/siphash": 0, "internal/jhash": 0, "internal/cbpf": 0,
	"conntrack": 1, "defrag": 1, "osf": 1, "socket": 1, "ipset": 1, "nfacct": 1, "route": 1, "trace/render": 1,
	"hook": 2, "conntrack/show": 2, "trace/filter": 2, "xtables/names": 2,
	"ipset/text": 3, "nat": 3, "router": 3, "xtables/logline": 3,
	"conntrack/verbs": 4, "helper": 4, "synproxy": 4, "xtables": 4, "xtables/args": 5, "xtables/rateest": 5,
	"xtables/match": 6, "xtables/target": 6, "xtables/save": 6,
	"xtables/std": 7, "xtables/verbs": 7,
	"engine":  8,
	"machine": 9, "capture": 9, "control": 9, "dnsset": 9, "scenario/line": 9,
	"replay": 10, "lint": 10, "journal": 10, "metrics": 10, "sandbox": 10, "web": 10,
	"scenario": 11, "scenario/unit": 11, "diff": 11, "gateway": 11,
	"cmd/weir": 12,
}

// engineTop is the highest layer of the packages that people embed: they
// import the standard library and these modules only.
const engineTop = 8

var engineModules = map[string]string{
	"github.com/gaissmai/bart": "longest-prefix table, pure Go, no dependencies",
	"golang.org/x/sys":         "system calls",
}

// forbidden pairs are layers that would allow what the design does not.
var forbidden = map[string][]string{
	"router":  {"nat", "xtables"}, // the router sees hooks
	"xtables": {"nat"},            // only targets translate
}

// pureBelow is the layer below which nothing may read a clock, the system or
// a random source: those come in as parameters.
const pureBelow = 9

var impure = []string{"math/rand", "math/rand/v2", "log", "log/slog", "os", "os/exec", "net", "net/http"}

type pkg struct {
	ImportPath     string
	Dir            string
	Doc            string
	GoFiles        []string
	IgnoredGoFiles []string
	Imports        []string
	CgoFiles       []string
	Standard       bool
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,CgoFiles", module+"/...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var ps []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

func TestLayers(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		layer, listed := layers[name]
		seen[name] = true
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo", name)
		}
		if !listed {
			if name != "" && !strings.Contains("/"+name, "/internal/") && !strings.HasPrefix(name, "examples") {
				t.Errorf("%s stands in no layer: add it to the table in this test", name)
			}
			continue
		}
		for _, imp := range p.Imports {
			own := strings.HasPrefix(imp, module+"/")
			short := strings.TrimPrefix(imp, module+"/")
			switch {
			case own:
				l, ok := layers[short]
				if !ok {
					t.Errorf("%s imports the test aid %s", name, short)
				} else if l >= layer {
					t.Errorf("%s (layer %d) imports %s (layer %d): only lower layers", name, layer, short, l)
				}
				for _, f := range forbidden[name] {
					if short == f {
						t.Errorf("%s must not import %s", name, short)
					}
				}
			case strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
				if layer <= engineTop && !allowedModule(imp) {
					t.Errorf("%s imports %s: the engine's packages keep to %v", name, imp, engineModules)
				}
			default:
				if layer < pureBelow {
					for _, i := range impure {
						if imp == i {
							t.Errorf("%s imports %s: clock, system and randomness come in as parameters", name, imp)
						}
					}
				}
			}
		}
	}
	for name := range layers {
		if !seen[name] {
			t.Errorf("the table names %s, which does not exist", name)
		}
	}
}

func allowedModule(imp string) bool {
	for m := range engineModules {
		if imp == m || strings.HasPrefix(imp, m+"/") {
			return true
		}
	}
	return false
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range list(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// sources parses every Go file of the engine's packages that is not a test.
func sources(t *testing.T, f func(name string, file *ast.File, fset *token.FileSet)) {
	t.Helper()
	top := root(t)
	var names []string
	for name, l := range layers {
		if l < pureBelow {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		fset := token.NewFileSet()
		entries, err := os.ReadDir(filepath.Join(top, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // TestLayers complains
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			file, err := parser.ParseFile(fset, filepath.Join(top, name, e.Name()), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			f(name+"/"+e.Name(), file, fset)
		}
	}
}

func TestNothingRegistersItself(t *testing.T) {
	sources(t, func(name string, file *ast.File, _ *token.FileSet) {
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: put it on the explicit list", name)
			}
		}
	})
}

func TestTheEngineReadsNoClock(t *testing.T) {
	sources(t, func(name string, file *ast.File, fset *token.FileSet) {
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since" || sel.Sel.Name == "Sleep") {
				t.Errorf("%s: time.%s: time is a parameter", fset.Position(n.Pos()), sel.Sel.Name)
			}
			return true
		})
	})
}

func TestExportedNamesAreDocumented(t *testing.T) {
	sources(t, func(name string, file *ast.File, fset *token.FileSet) {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedRecv(d) && !wellKnown(d.Name.Name) {
					t.Errorf("%s: %s has no comment", fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
						t.Errorf("%s: type %s has no comment", fset.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	})
}

// wellKnown methods are documented by the interface that they fulfil.
func wellKnown(n string) bool {
	switch n {
	case "Error", "String", "Match", "Do", "AppendArgs", "Explain", "Bind":
		return true
	}
	return false
}

func exportedRecv(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	e := d.Recv.List[0].Type
	if s, ok := e.(*ast.StarExpr); ok {
		e = s.X
	}
	id, ok := e.(*ast.Ident)
	return ok && id.IsExported()
}

func TestFormatted(t *testing.T) {
	cmd := exec.Command("gofmt", "-l", ".")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.TrimSpace(string(out)); s != "" {
		t.Errorf("gofmt would change:\n%s", s)
	}
}

// TestBuildsEverywhere compiles the engine for the systems that the README
// names, and the command for those that have devices.
func TestBuildsEverywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	for _, target := range []string{"linux/arm64", "darwin/arm64", "windows/amd64", "js/wasm"} {
		osArch := strings.Split(target, "/")
		cmd := exec.Command("go", "build", "./engine")
		if osArch[0] == "darwin" || osArch[0] == "windows" {
			cmd = exec.Command("go", "build", "./engine", "./cmd/weir") // of two nothing is written
		}
		cmd.Dir = root(t)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+osArch[0], "GOARCH="+osArch[1])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", target, err, out)
		}
	}
}

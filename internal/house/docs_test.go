package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPackagesNameTheirLayer holds the "Layer N" of each package comment
// against the table.
func TestPackagesNameTheirLayer(t *testing.T) {
	top := root(t)
	said := regexp.MustCompile(`\bLayer (\d+)\b`)
	for name, layer := range layers {
		if strings.HasPrefix(name, "cmd/") {
			continue
		}
		files, err := filepath.Glob(filepath.Join(top, name, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			before, _, _ := strings.Cut(string(src), "\npackage ")
			if m := said.FindStringSubmatch(before); m != nil {
				found = true
				if m[1] != strconv.Itoa(layer) {
					t.Errorf("%s says layer %s; the table says %d", f, m[1], layer)
				}
			}
		}
		if !found {
			t.Errorf("the comment of package %s does not name its layer, %d", name, layer)
		}
	}
}

// TestArchitectureHasTheTable holds the table of ARCHITECTURE.md against the
// one here.
func TestArchitectureHasTheTable(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| (\\d+) \\| ((?:`[a-z/]+` ?)+) \\|")
	word := regexp.MustCompile("`([a-z/]+)`")
	src, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(src), -1) {
		for _, w := range word.FindAllStringSubmatch(m[2], -1) {
			seen[w[1]] = true
			if layer, ok := layers[w[1]]; !ok || strconv.Itoa(layer) != m[1] {
				t.Errorf("ARCHITECTURE.md puts %s into layer %s; the table says %d", w[1], m[1], layer)
			}
		}
	}
	for name := range layers {
		if !seen[name] && !strings.HasPrefix(name, "internal/") {
			t.Errorf("ARCHITECTURE.md does not list %s", name)
		}
	}
}

// TestPagesNameFilesThatExist looks up the links and the paths that the pages
// name in code style.
func TestPagesNameFilesThatExist(t *testing.T) {
	top := root(t)
	link := regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	path := regexp.MustCompile("`((?:[a-z0-9_.]+/)+[a-z0-9_]+\\.[a-z0-9]+)`")
	pages := []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"}
	docs, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		pages = append(pages, "docs/"+filepath.Base(d))
	}
	named := 0
	for _, page := range pages {
		src, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		exists := func(from, name string) {
			named++
			if _, err := os.Stat(filepath.Join(top, from, name)); err != nil {
				t.Errorf("%s names %s, which does not exist", page, name)
			}
		}
		for _, m := range link.FindAllStringSubmatch(string(src), -1) {
			if !strings.Contains(m[1], "://") {
				exists(filepath.Dir(page), m[1])
			}
		}
		if page == "examples/README.md" {
			continue // its paths are relative to each machine
		}
		for _, m := range path.FindAllStringSubmatch(string(src), -1) {
			exists("", m[1])
		}
	}
	if named < 20 {
		t.Errorf("only %d names found: the expressions no longer fit the pages", named)
	}
}

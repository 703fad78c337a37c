package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"weir/conntrack"

	"weir/conntrack/show"
	"weir/nfacct"
	"weir/xtables"
)

// ids reads the names and numbers of a passwd or group; nil if there is none.
func (l *loader) ids(f File) map[string]uint32 {
	if f.Text == nil {
		return nil
	}
	ids := map[string]uint32{}
	eachLine(f.Text, func(n int, line string) {
		if line == "" || line[0] == '#' {
			return
		}
		w := strings.Split(line, ":")
		if len(w) < 3 || w[0] == "" {
			l.fail(f.Name, n, 1, "not a line NAME:PASSWORD:NUMBER:…")
			return
		}
		id, err := strconv.ParseUint(w[2], 10, 32)
		if err != nil {
			l.fail(f.Name, n, len(w[0])+len(w[1])+3, quote(w[2])+" is not a number")
			return
		}
		if _, twice := ids[w[0]]; !twice {
			ids[w[0]] = uint32(id) // the first counts
		}
	})
	return ids
}

// Known reads what the rules of a machine directory may name beside its sets:
// connlabel.conf, nfacct.list, timeout.conf, passwd and group.
func Known(dir string) (xtables.Known, []error) {
	if _, err := os.Stat(filepath.Clean(dir)); err != nil {
		return xtables.Known{}, []error{err}
	}
	l := &loader{m: &Machine{Dir: dir}}
	k := xtables.Known{Users: l.ids(l.read(dir, "passwd")), Groups: l.ids(l.read(dir, "group"))}
	k.Labels = show.ParseLabels(l.read(dir, "connlabel.conf").Text)
	k.Accounts = l.accounts(l.read(dir, "nfacct.list"))
	f := l.read(dir, "timeout.conf")
	var line, col int
	var msg string
	if k.Timeouts, line, col, msg = conntrack.ParsePolicies(f.Text); line > 0 {
		l.fail(f.Name, line, col, msg)
	}
	return k, l.errs
}

func (l *loader) accounts(f File) *nfacct.Objects {
	o, line, col, msg := nfacct.Load(f.Text)
	if line > 0 {
		l.fail(f.Name, line, col, msg)
	}
	return o
}

package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ProcFile is a file of a directory that is named as one of /proc/net is.
type ProcFile struct {
	Dir, Name string
	File      File
}

// ProcDirs are the directories of /proc/net that show state of rules.
func ProcDirs() []string { return []string{"xt_recent", "ipt_hashlimit", "ip6t_hashlimit"} }

// proc reads the state of rules.
func (l *loader) proc(dir string) {
	for _, d := range ProcDirs() {
		list, err := os.ReadDir(filepath.Join(dir, d))
		if err != nil {
			if !os.IsNotExist(err) {
				l.plain(err)
			}
			continue
		}
		for _, e := range list {
			if e.Type().IsRegular() {
				l.m.Proc = append(l.m.Proc, ProcFile{d, e.Name(), l.read(dir, filepath.Join(d, e.Name()))})
			}
		}
	}
	f := l.read(dir, "jiffies")
	if f.Text == nil {
		return
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(f.Text)), 10, 62)
	if err != nil || n <= 0 {
		l.fail(f.Name, 1, 1, "not a number of ticks")
		return
	}
	l.m.Jiffies = n
}

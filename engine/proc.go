package engine

import (
	"strconv"
	"strings"

	"weir/xtables"
)

// ProcFile is a file as Linux shows it below /proc/net: state of rules that has
// a name. Dir is xt_recent, ipt_hashlimit or ip6t_hashlimit.
type ProcFile struct {
	Dir, Name string
	Text      Text
}

// bootJiffies is what Linux's tick counter begins with: five minutes before it
// no longer fits into 32 bits.
const bootJiffies = 1<<32 - 300*xtables.HZ

// loadProc puts the files into the state of the rules. They were read when the
// tick counter stood at jiffies, which is taken for start.
func (m *Machine) loadProc(files []ProcFile, start, jiffies int64) (errs []error) {
	if jiffies == 0 {
		jiffies = lastSeen(files)
	}
	m.jiffies = jiffies - start/xtables.NsPerTick
	list := m.shared.Listed()
	for _, f := range files {
		line, col, msg := 1, 1, "no rule has state of this name"
		for _, l := range list {
			if dir, name := l.Path(); dir == f.Dir && name == f.Name {
				line, col, msg = l.LoadProc(f.Text.Text, start, jiffies)
			}
		}
		if line > 0 {
			errs = append(errs, &xtables.Error{Pos: xtables.Pos{File: f.Text.Name, Line: line, Col: col}, Msg: msg})
		}
	}
	return errs
}

// lastSeen is the newest time in lists of -m recent; as after booting without.
func lastSeen(files []ProcFile) int64 {
	last := int64(0)
	for _, f := range files {
		if f.Dir != "xt_recent" {
			continue
		}
		words := strings.Fields(string(f.Text.Text))
		for i := range len(words) - 1 {
			if n, err := strconv.ParseInt(words[i+1], 10, 63); err == nil && words[i] == "last_seen:" {
				last = max(last, n)
			}
		}
	}
	if last == 0 {
		return bootJiffies
	}
	return last
}

// Proc is what the files would show at now, in ns: one for each name that rules
// hold.
func (m *Machine) Proc(now int64) (files []ProcFile) {
	for _, l := range m.shared.Listed() {
		dir, name := l.Path()
		files = append(files, ProcFile{dir, name, Text{Name: name, Text: l.AppendProc(nil, now, m.jiffies+now/xtables.NsPerTick)}})
	}
	return files
}

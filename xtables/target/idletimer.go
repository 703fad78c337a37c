package target

import (
	"errors"
	"math"
	"strings"

	"weir/hook"
	"weir/xtables"
	"weir/xtables/args"
)

// IdleTimer is -j IDLETIMER: starts a timer over. Who uses the machine is told
// when it runs out, as Linux tells those who watch a file of /sys; to packets it
// does nothing.
func IdleTimer() xtables.TargetExt {
	return xtables.TargetExt{
		Name: "IDLETIMER", Families: xtables.Both,
		Options: append(one("timeout", "label"), flags("alarm")...),
		Parse:   parseIdleTimer,
		Doc:     "all options; `engine.Config.Idle`, the logs of a replay and of a gateway tell when a timer runs out",
	}
}

type idleTimerTarget struct {
	xtables.Use
	timer   *xtables.IdleTimer
	timeout uint32 // s
	label   string
	alarm   bool
}

func parseIdleTimer(_ *xtables.Context, given []xtables.Given) (xtables.Target, error) {
	m := &idleTimerTarget{alarm: args.Find(given, "alarm") != nil}
	for _, n := range []string{"timeout", "label"} {
		if err := args.Need(given, n); err != nil {
			return nil, err
		}
	}
	g := args.Find(given, "timeout")
	n, err := args.Uint(g, 1, math.MaxInt32/1000-1)
	if err != nil {
		return nil, err
	}
	m.timeout = uint32(n)
	g = args.Find(given, "label")
	m.label = args.Cut(args.Text(g), 27)
	// It is the name of a file that must not be there yet.
	if m.label == "" || strings.Contains(m.label, "/") || m.label == "." || m.label == ".." ||
		m.label == "power" || m.label == "subsystem" || m.label == "uevent" {
		return nil, args.Bad(g, "a name for a timer")
	}
	return m, nil
}

// Bind refuses a timer of the same name and another kind.
func (m *idleTimerTarget) Bind(s *xtables.Shared) error {
	if m.timer = m.HoldIdle(s, m.label, m.alarm, m.after()); m.timer == nil {
		return errors.New("--label: there is a timer of that name, with and without --alarm")
	}
	return nil
}

func (m *idleTimerTarget) after() int64 { return int64(m.timeout) * 1e9 }

func (m *idleTimerTarget) Do(t *hook.Traversal) xtables.Code {
	if m.timer != nil { // rules that were never bound have none
		m.timer.Restart(t.Now, m.after())
	}
	return xtables.Continue
}

func (m *idleTimerTarget) AppendArgs(b []byte) []byte {
	b = args.Dec(args.Name(b, false, "timeout"), uint64(m.timeout))
	b = xtables.AppendWord(append(args.Name(b, false, "label"), ' '), m.label)
	if m.alarm {
		b = args.Name(b, false, "alarm")
	}
	return b
}

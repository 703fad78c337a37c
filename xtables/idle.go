package xtables

import (
	"cmp"
	"slices"
	"strings"
)

// IdleTimer is a timer of -j IDLETIMER, which packets start over. Rules with
// the same label have one, of both families.
//
// Linux: net/netfilter/xt_IDLETIMER.c.
type IdleTimer struct {
	Label string
	// Alarm is the option of that name: the timer would wake the computer.
	Alarm bool

	of *Shared
	// at is when it runs out, in ns; 0 when it has. after is set between
	// the loading of its rule and the next look at the clock: how long it
	// will run.
	at, after int64
}

// idleKey begins the names of timers in Shared.
const idleKey = "idletimer/"

// HoldIdle takes a share of a timer, makes it if it is not there, and starts it
// to run for so many ns. A nil timer is one of the other kind: with and without
// Alarm.
func (u *Use) HoldIdle(s *Shared, label string, alarm bool, after int64) *IdleTimer {
	if t, ok := s.Named(idleKey + label).(*IdleTimer); ok && t.Alarm != alarm {
		return nil
	}
	t := u.Hold(s, idleKey+label, &IdleTimer{Label: label, Alarm: alarm, of: s}).(*IdleTimer)
	t.after, s.idleNext = after, 0
	return t
}

// Restart lets it run out so many ns after now.
func (t *IdleTimer) Restart(now, after int64) {
	t.at, t.after = now+after, 0
	t.of.idleNext = min(t.of.idleNext, t.at)
}

// Left is the time until it runs out, in ns; 0 if it has.
func (t *IdleTimer) Left(now int64) int64 {
	if t.after != 0 {
		return t.after
	}
	return max(0, t.at-now)
}

// IdleTimers are the timers by their labels.
func (s *Shared) IdleTimers() (list []*IdleTimer) {
	for key, n := range s.named {
		if strings.HasPrefix(key, idleKey) {
			list = append(list, n.state.(*IdleTimer))
		}
	}
	slices.SortFunc(list, func(a, b *IdleTimer) int { return cmp.Compare(a.Label, b.Label) })
	return list
}

// IdleDue reports that a timer may have run out at now: PassIdle tells.
func (s *Shared) IdleDue(now int64) bool { return now >= s.idleNext }

// PassIdle calls f for each timer that ran out since the last time, in the
// order in which they did, with the time when it did.
func (s *Shared) PassIdle(now int64, f func(t *IdleTimer, at int64)) {
	s.idleNext = 1<<63 - 1
	list := s.IdleTimers()
	for _, t := range list {
		if t.after != 0 {
			t.at, t.after = now+t.after, 0
		}
	}
	slices.SortStableFunc(list, func(a, b *IdleTimer) int { return cmp.Compare(a.at, b.at) })
	for _, t := range list {
		switch {
		case t.at == 0:
		case t.at > now:
			s.idleNext = min(s.idleNext, t.at)
		default:
			at := t.at
			t.at = 0
			f(t, at)
		}
	}
}

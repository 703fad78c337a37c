package control

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/engine"
)

// Alarm is something that is about to run out.
type Alarm struct {
	// Name is "connections", or "ports" with the external address and protocol.
	Name string `json:"name"`
	// Level is warning from 80 %, critical from 95 % on.
	Level string    `json:"level"`
	Share float64   `json:"share"` // 0 to 1
	Since time.Time `json:"since"`
}

// The shares at which alarms begin; they end fallBack below.
const (
	warnAt     = 0.80
	criticalAt = 0.95
	fallBack   = 0.05
)

// alarms are those that stand.
type alarms struct {
	mu   sync.Mutex
	list map[string]Alarm
	// ports is the last look at port use.
	ports NATUse
}

// Alarms are what is about to run out, as Watch saw it last.
func (s *Server) Alarms() []Alarm {
	s.alarms.mu.Lock()
	defer s.alarms.mu.Unlock()
	list := []Alarm{}
	for _, a := range s.alarms.list {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b Alarm) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Ports is the use of ports, as Watch saw it last.
func (s *Server) Ports() NATUse {
	s.alarms.mu.Lock()
	defer s.alarms.mu.Unlock()
	return s.alarms.ports
}

// Watch looks every few seconds how full the table and the port ranges are,
// until the context is done: the log and Alarms tell before they run out.
func (s *Server) Watch(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		s.look()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// look is one look of Watch.
func (s *Server) look() {
	var n, limit int
	s.target.Do(func(m *engine.Machine) { n, limit = m.Conntrack().Len(), m.Conntrack().Config().Max })
	shares := map[string]float64{"connections": 0}
	if limit > 0 {
		shares["connections"] = float64(n) / float64(limit)
	}
	use := s.PortUse(netip.Addr{}, 20)
	for _, a := range use.Addresses {
		if !strings.HasPrefix(a.Protocol, "icmp") {
			shares["ports "+a.External.String()+" "+a.Protocol] = a.Fullest
		}
	}
	now := time.Now()
	s.alarms.mu.Lock()
	defer s.alarms.mu.Unlock()
	s.alarms.ports = use
	if s.alarms.list == nil {
		s.alarms.list = map[string]Alarm{}
	}
	for name := range s.alarms.list {
		if _, ok := shares[name]; !ok {
			shares[name] = 0 // nothing uses the address any more
		}
	}
	for name, share := range shares {
		s.raise(name, share, now)
	}
}

// raise begins, changes or ends an alarm. mu is held.
func (s *Server) raise(name string, share float64, now time.Time) {
	old, stands := s.alarms.list[name]
	level := ""
	switch {
	case share >= criticalAt || old.Level == "critical" && share >= criticalAt-fallBack:
		level = "critical"
	case share >= warnAt || stands && share >= warnAt-fallBack:
		level = "warning"
	}
	if level == "" {
		if stands {
			delete(s.alarms.list, name)
			s.opt.Log.Info("alarm ended", "alarm", name, "share", share)
		}
		return
	}
	a := Alarm{Name: name, Level: level, Share: share, Since: old.Since}
	if old.Level != level {
		a.Since = now
		if level == "critical" {
			s.opt.Log.Error("alarm", "alarm", name, "level", level, "share", share)
		} else {
			s.opt.Log.Warn("alarm", "alarm", name, "level", level, "share", share)
		}
	}
	s.alarms.list[name] = a
}

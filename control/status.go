package control

import (
	"net/http"
	"runtime"
	"time"

	"weir/conntrack"
	"weir/engine"
	"weir/hook"
	"weir/packet"
	"weir/xtables"
)

// Status is the state of a running machine.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	// Connections is the size of the table, Max its limit, 0 for none.
	Connections int `json:"connections"`
	Max         int `json:"max"`
	Expects     int `json:"expectations"`
	// Stats is the counters of conntrack -S.
	Stats      []Count     `json:"stats"`
	Drops      []Count     `json:"drops"`
	Rules4     int         `json:"rules_ipv4"`
	Rules6     int         `json:"rules_ipv6"`
	Interfaces []Interface `json:"interfaces"`
	Devices    []Device    `json:"devices,omitempty"`
	// Alarms are what is about to run out.
	Alarms  []Alarm `json:"alarms"`
	Streams int     `json:"streams"`
	// Refused counts connections turned away, Dropped readers of streams that
	// were too slow.
	Refused uint64 `json:"refused"`
	Dropped uint64 `json:"dropped_readers"`
	Memory  uint64 `json:"memory"` // bytes in use
}

// Interface is an interface of the machine.
type Interface struct {
	Name      string   `json:"name"`
	Index     int      `json:"index"`
	MTU       int      `json:"mtu"`
	Up        bool     `json:"up"`
	Addresses []string `json:"addresses"`
}

// Count is a number with its name.
type Count struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// Status is the state as of now.
func (s *Server) Status() Status {
	st := Status{Version: s.opt.Version, Started: s.begun, Now: time.Unix(0, s.target.Now()).UTC(),
		Alarms: s.Alarms(), Streams: int(s.streams.Load()), Refused: s.refused.Load(), Dropped: s.dropped.Load()}
	s.target.Do(func(m *engine.Machine) {
		ct := m.Conntrack()
		st.Connections, st.Max, st.Expects, st.Stats = ct.Len(), ct.Config().Max, ct.Expects(), named(ct.Stats())
		st.Drops = counts(m.Drops())
		st.Rules4, st.Rules6 = size(m.Rules(packet.IPv4)), size(m.Rules(packet.IPv6))
		for _, i := range m.Ifaces().All() {
			x := Interface{Name: i.Name, Index: i.Index, MTU: i.MTU, Up: !i.Down, Addresses: []string{}}
			for _, a := range i.Addrs {
				x.Addresses = append(x.Addresses, a.Prefix.String())
			}
			st.Interfaces = append(st.Interfaces, x)
		}
	})
	if d, ok := s.target.(Devices); ok {
		st.Devices = d.Devices()
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	st.Memory = mem.Sys - mem.HeapReleased
	return st
}

// size is the number of rules.
func size(rs *xtables.Ruleset) (n int) {
	if rs == nil {
		return 0
	}
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			n += len(c.Rules)
		}
	}
	return n
}

// counts is the reasons that occurred.
func counts(d [hook.NumReasons]uint64) []Count {
	list := []Count{}
	for r, n := range d {
		if n > 0 {
			list = append(list, Count{hook.Reason(r).String(), n})
		}
	}
	return list
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) error { return reply(w, s.Status()) }

func (s *Server) reload(w http.ResponseWriter, _ *http.Request) error {
	r, ok := s.target.(Reloader)
	if !ok {
		return &problem{http.StatusNotImplemented, "this machine has no files to be read again"}
	}
	if err := r.Reload(); err != nil {
		return &problem{http.StatusUnprocessableEntity, err.Error()}
	}
	s.opt.Log.Info("reloaded")
	return reply(w, struct{}{})
}

func (s *Server) stats(w http.ResponseWriter, _ *http.Request) error {
	var st conntrack.Stats
	s.target.Do(func(m *engine.Machine) { st = m.Conntrack().Stats() })
	return reply(w, named(st))
}

// named is the statistics with the names of conntrack -S, all of them.
func named(st conntrack.Stats) []Count {
	return []Count{
		{"found", st.Found}, {"invalid", st.Invalid}, {"insert", st.Insert}, {"insert_failed", st.InsertFailed},
		{"drop", st.Drop}, {"early_drop", st.EarlyDrop}, {"error", st.Error}, {"search_restart", st.SearchRestart},
		{"clash_resolve", st.ClashResolve}, {"chaintoolong", st.ChainTooLong},
		{"expect_new", st.ExpectNew}, {"expect_create", st.ExpectCreate}, {"expect_delete", st.ExpectDelete},
	}
}

func (s *Server) drops(w http.ResponseWriter, _ *http.Request) error {
	var list []Count
	s.target.Do(func(m *engine.Machine) { list = counts(m.Drops()) })
	return reply(w, list)
}

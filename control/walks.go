package control

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"weir/engine"
	"weir/iface"
	"weir/trace/filter"
	"weir/trace/render"
)

// recordRate is how many packets a second are recorded at most, shown or not;
// maxRate is how many of them one stream may show.
const (
	recordRate = 10_000
	maxRate    = 1000
)

// bucket lets a bounded number of things happen a second.
type bucket struct {
	rate, left int
	second     int64
}

func (b *bucket) take(now int64) bool {
	if sec := now / int64(time.Second); sec != b.second {
		b.second, b.left = sec, b.rate
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}

// watcher shows walks of live packets. It implements engine.Watcher: all of it
// is used within Target.Do.
type watcher struct {
	list   []*watch
	record bucket
	// missed counts packets that were not recorded for want of time.
	missed atomic.Uint64
	cur    render.Packet
	asking []*watch
}

// watch is one stream of walks.
type watch struct {
	f      *filter.Filter // nil takes all
	rate   bucket
	n      int
	ch     chan []byte
	over   atomic.Uint64 // packets above the rate
	lost   atomic.Uint64 // lines that found the queue full
	render func(*render.Packet) []byte
}

// Want implements engine.Watcher.
func (w *watcher) Want(in *iface.Iface, data []byte, now int64) bool {
	name := "local"
	if in != nil {
		name = in.Name
	}
	w.asking = w.asking[:0]
	for _, x := range w.list {
		a := filter.Yes
		if x.f != nil {
			a = x.f.Early(name, data)
		}
		switch {
		case a == filter.No:
		case a == filter.Yes && !x.rate.take(now):
			x.over.Add(1)
		default:
			w.asking = append(w.asking, x)
		}
	}
	if len(w.asking) == 0 {
		return false
	}
	if !w.record.take(now) {
		w.missed.Add(1)
		return false
	}
	w.cur = render.Packet{Time: now, In: name, Data: append(w.cur.Data[:0], data...)}
	return true
}

// Saw implements engine.Watcher.
func (w *watcher) Saw(r *engine.Result) {
	p := &w.cur
	p.Verdict, p.Reason, p.Steps = string(r.Verdict), r.Reason.String(), r.Steps
	for _, o := range r.Out {
		p.Out = append(p.Out, render.Out{Dev: o.Dev.Name, Data: o.Data})
	}
	for _, l := range r.Logs {
		p.Logs = append(p.Logs, l.Text)
	}
	p.Conn = r.CT.State().String()
	if c := r.CT.Conn; c != nil {
		p.Conn += " #" + strconv.FormatUint(c.Seq, 10)
	}
	for _, x := range w.asking {
		p.N = x.n + 1
		if x.f != nil {
			if !x.f.Match(p) {
				continue
			}
			if x.f.Early(p.In, p.Data) == filter.Maybe && !x.rate.take(p.Time) {
				x.over.Add(1)
				continue
			}
		}
		x.n++
		select {
		case x.ch <- slices.Clone(x.render(p)):
		default:
			x.lost.Add(1)
		}
	}
}

// watch begins to show walks to x.
func (s *Server) watch(x *watch) {
	s.target.Do(func(m *engine.Machine) {
		w := &s.walks
		w.record.rate = recordRate
		w.list = append(slices.Clone(w.list), x)
		m.Watch(w)
	})
}

func (s *Server) unwatch(x *watch) {
	s.target.Do(func(m *engine.Machine) {
		w := &s.walks
		w.list = slices.DeleteFunc(slices.Clone(w.list), func(y *watch) bool { return y == x })
		if len(w.list) == 0 {
			m.Watch(nil)
		}
	})
}

// traceStream is weir trace --live.
func (s *Server) traceStream(w http.ResponseWriter, q *http.Request) error {
	x := &watch{ch: make(chan []byte, 256), rate: bucket{rate: 100}}
	var err error
	if e := q.FormValue("filter"); e != "" {
		if x.f, err = filter.Parse(e); err != nil {
			return bad("filter: %v", err)
		}
	}
	if v := q.FormValue("rate"); v != "" {
		n, perr := strconv.Atoi(v)
		if perr != nil || n < 1 || n > maxRate {
			return bad("rate: %q is not 1 to %d packets a second", v, maxRate)
		}
		x.rate.rate = n
	}
	var buf []byte
	text := render.Text{}
	switch q.FormValue("show") {
	case "", "all":
	case "matched":
		text.Show = render.ShowMatched
	case "verdict":
		text.Show = render.ShowVerdict
	default:
		return bad("show: %q is none of all matched verdict", q.FormValue("show"))
	}
	switch q.FormValue("format") {
	case "", "json":
		x.render = func(p *render.Packet) []byte {
			buf = render.AppendJSON(buf[:0], p, text.Show != render.ShowVerdict)
			return buf
		}
	case "text":
		text.Style.Colour, err = flag(q, "colour")
		if err != nil {
			return err
		}
		text.Start = s.target.Now()
		x.render = func(p *render.Packet) []byte { buf = text.Append(buf[:0], p); return buf }
	default:
		return bad("format: %q is neither json nor text", q.FormValue("format"))
	}
	st, err := s.stream(w)
	if err != nil {
		return err
	}
	defer st.end()
	s.watch(x)
	defer s.unwatch(x)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var said Missed
	idle := 0
	for st.err == nil {
		select {
		case b := <-x.ch:
			st.write(b)
			if len(x.ch) == 0 {
				st.flush()
			}
			idle = 0
		case <-tick.C:
			now := Missed{Over: x.over.Load(), Lost: x.lost.Load(), NotRecorded: s.walks.missed.Load()}
			if now != said {
				st.line(map[string]Missed{"missed": now})
				st.flush()
				said, idle = now, 0
			} else if idle++; idle >= int(beat/time.Second) {
				st.write([]byte("\n"))
				st.flush()
				idle = 0
			}
		case <-q.Context().Done():
			return nil
		case <-s.done:
			return nil
		}
	}
	return nil
}

// Missed says which packets a stream of walks did not show, since it began.
type Missed struct {
	Over        uint64 `json:"over_rate"`    // above the rate asked for
	Lost        uint64 `json:"lost"`         // the reader was slow
	NotRecorded uint64 `json:"not_recorded"` // more to be recorded than the machine has time for
}

// stamp is a time as JSON shows it.
func stamp(ns int64) string { return string(render.AppendTime(nil, ns)) }

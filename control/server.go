package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"weir/conntrack"
)

// Options are the bounds of a server; zero is the value named.
type Options struct {
	// Connections at once, 128; further ones get status 503.
	Connections int
	// Streams at once, 32; further ones get status 503.
	Streams int
	// Body is the largest body of a request in bytes, 64 MiB.
	Body int64
	// Patience is how long a reader may leave a line of a stream lying before
	// it is dropped, 5 s.
	Patience time.Duration
	// Version is what status says.
	Version string
	// More is further handlers by pattern, such as "GET /metrics".
	More map[string]http.Handler
	// Log takes who changed what; nil for nobody.
	Log *slog.Logger
}

// Server answers for a target.
type Server struct {
	target  Target
	opt     Options
	begun   time.Time
	http    *http.Server
	events  hub[conntrack.Event]
	expects hub[conntrack.ExpectEvent]
	walks   watcher
	alarms  alarms

	change    sync.Mutex // rules and sets
	listening sync.Mutex // who hears events
	streams   atomic.Int32
	refused   atomic.Uint64
	dropped   atomic.Uint64
	done      chan struct{}
}

// NewServer makes a server. It listens nowhere yet.
func NewServer(t Target, o Options) *Server {
	if o.Connections <= 0 {
		o.Connections = 128
	}
	if o.Streams <= 0 {
		o.Streams = 32
	}
	if o.Body <= 0 {
		o.Body = 64 << 20
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{target: t, opt: o, begun: time.Now(), done: make(chan struct{})}
	s.http = server(s.Handler(), o.Log)
	return s
}

// server is an HTTP server whose clients cannot take long.
func server(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP answers at a listener with the bounds of a server, for at most so
// many connections at once, until the context is done.
func ServeHTTP(ctx context.Context, l net.Listener, h http.Handler, connections int) error {
	srv := server(h, slog.New(slog.DiscardHandler))
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.Serve(&limited{Listener: l, max: int32(connections), refused: new(atomic.Uint64)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Handler is the paths of openapi.yaml, for a listener of one's own.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, h := range s.opt.More {
		mux.Handle(path, h)
	}
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, q *http.Request) {
			q.Body = http.MaxBytesReader(w, q.Body, s.opt.Body)
			if err := r.serve(w, q); err != nil {
				fail(w, err)
			}
		})
	}
	return mux
}

// Serve answers until the context is done, and then ends: requests under way
// have a second. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		close(s.done)
		c, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.http.Shutdown(c) != nil {
			s.http.Close()
		}
	})
	defer stop()
	err := s.http.Serve(&limited{Listener: l, max: int32(s.opt.Connections), refused: &s.refused})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// problem is an error with its HTTP status.
type problem struct {
	status int
	msg    string
}

func (p *problem) Error() string { return p.msg }

func bad(format string, a ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, a...)}
}

// fail answers with an error, unless the answer has begun.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var p *problem
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		status = p.status
	case errors.As(err, &big):
		status = http.StatusRequestEntityTooLarge
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// reply answers with an object.
func reply(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(v) // an error is the reader's, who is gone
	return nil
}

// object reads the JSON body of a request, which is one object.
func object(q *http.Request, v any) error {
	d := json.NewDecoder(q.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return err
		}
		return bad("body: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("body: more than one object")
	}
	return nil
}

// stream writes lines as they come.
type stream struct {
	s    *Server
	w    http.ResponseWriter
	rc   *http.ResponseController
	err  error
	kind string
}

// stream begins an answer of JSON lines that has no end of its own. The caller
// calls end.
func (s *Server) stream(w http.ResponseWriter) (*stream, error) {
	if s.streams.Add(1) > int32(s.opt.Streams) {
		s.streams.Add(-1)
		return nil, &problem{http.StatusServiceUnavailable, "too many streams"}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	st := &stream{s: s, w: w, rc: http.NewResponseController(w)}
	st.rc.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	st.flush()
	return st, nil
}

func (st *stream) end() { st.s.streams.Add(-1) }

// write sends bytes; a reader that does not take them in time is dropped.
func (st *stream) write(b []byte) error {
	if st.err == nil {
		st.rc.SetWriteDeadline(time.Now().Add(st.s.opt.Patience))
		_, err := st.w.Write(b)
		st.failed(err)
	}
	return st.err
}

func (st *stream) flush() error {
	if st.err == nil {
		st.rc.SetWriteDeadline(time.Now().Add(st.s.opt.Patience))
		st.failed(st.rc.Flush())
	}
	return st.err
}

func (st *stream) failed(err error) {
	if err == nil {
		return
	}
	st.err = err
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		st.s.dropped.Add(1)
	}
}

// line sends an object.
func (st *stream) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return st.write(append(b, '\n'))
}

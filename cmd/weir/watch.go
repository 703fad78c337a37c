package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"weir/control"
	"weir/engine"
	"weir/gateway"
	"weir/journal"
	"weir/metrics"
	"weir/web"
)

// watchFlags is how a gateway is watched and controlled.
type watchFlags struct {
	Control      string `placeholder:"PATH" help:"Socket of the verbs that talk to a running weir, or none (default: WEIR_CONTROL, weir.sock in XDG_RUNTIME_DIR, or /run/weir.sock)."`
	LogFormat    string `enum:"text,json" default:"text" placeholder:"HOW" help:"The log on standard error: text or json."`
	RuleLog      string `placeholder:"FILE" help:"Lines of LOG, NFLOG and TRACE as syslog has them, instead of in the log."`
	RulePackets  string `placeholder:"FILE" help:"Packets of LOG and NFLOG as pcapng, each with its rule as the comment."`
	RuleFileSize int64  `default:"100" placeholder:"MB" help:"Size at which these two files begin anew; one older file is kept (default 100)."`
	Metrics      string `placeholder:"ADDR" help:"Prometheus metrics at http://ADDR/metrics; ADDR is HOST:PORT."`
	Web          string `placeholder:"ADDR" help:"A web page at a loopback address, HOST:PORT; the log says the address with the token that it wants."`
	WebNoToken   bool   `help:"The web page wants no token: everybody on this machine sees it."`
	MetricsNames string `enum:"weir,node" default:"weir" placeholder:"NAMES" help:"node: metrics of conntrack are called as node_exporter calls them."`
}

// logger is the log of a gateway.
func (f *watchFlags) logger(w io.Writer) *slog.Logger {
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// journal writes down what rules log. close is called when nothing logs any
// more.
func (f *watchFlags) journal(log *slog.Logger) (j *journal.Journal, closeAll func() error, err error) {
	if f.RuleFileSize < 1 {
		return nil, nil, usagef("--rule-file-size: %d is not a size", f.RuleFileSize)
	}
	o := journal.Options{Log: log}
	o.Host, _ = os.Hostname()
	var files []*journal.File
	open := func(name string) (*journal.File, error) {
		x, err := journal.Open(name, f.RuleFileSize*1e6)
		if err == nil {
			files = append(files, x)
		}
		return x, err
	}
	if f.RuleLog != "" {
		x, err := open(f.RuleLog)
		if err != nil {
			return nil, nil, err
		}
		o.Log, o.Text = nil, x.Lines()
	}
	if f.RulePackets != "" {
		x, err := open(f.RulePackets)
		if err != nil {
			return nil, nil, err
		}
		o.Capture = x
	}
	j = journal.New(o)
	return j, func() error {
		err := j.Close()
		for _, x := range files {
			err = errors.Join(err, x.Close())
		}
		return err
	}, nil
}

// serve opens the control socket and the address of metrics, and answers there
// until the context is done; wait returns when that is over.
func (f *watchFlags) serve(ctx context.Context, g *gateway.Gateway, j *journal.Journal, log *slog.Logger) (wait func(), err error) {
	more := map[string]http.Handler{}
	srv := control.NewServer(controlled{g}, control.Options{Version: versionText(), Log: log, More: more})
	names := metrics.Weir
	if f.MetricsNames == "node" {
		names = metrics.Node
	}
	more["GET /metrics"] = metrics.Handler(srv, j, names)
	var l, ml net.Listener
	if f.Control != "none" {
		if l, err = openControl(f.Control, log); err != nil {
			return nil, err
		}
	}
	if f.Metrics != "" {
		if ml, err = net.Listen("tcp", f.Metrics); err != nil {
			if l != nil {
				l.Close()
			}
			return nil, fmt.Errorf("--metrics: %w", err)
		}
		log.Info("metrics", "url", "http://"+ml.Addr().String()+"/metrics")
	}
	var page *web.Page
	if f.Web != "" {
		if page, err = web.New(srv, web.Options{Addr: f.Web, NoToken: f.WebNoToken}); err != nil {
			for _, x := range []net.Listener{l, ml} {
				if x != nil {
					x.Close()
				}
			}
			return nil, fmt.Errorf("--web: %w", err)
		}
		log.Info("web page", "url", page.URL())
	}
	done := make(chan struct{}, 4)
	n := 1
	go func() { srv.Watch(ctx, 10*time.Second); done <- struct{}{} }()
	run := func(what string, serve func() error) {
		n++
		go func() {
			if err := serve(); err != nil {
				log.Error(what, "error", err)
			}
			done <- struct{}{}
		}()
	}
	if l != nil {
		run("control socket", func() error { return srv.Serve(ctx, l) })
	}
	if ml != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", more["GET /metrics"])
		run("metrics", func() error { return control.ServeHTTP(ctx, ml, mux, 32) })
	}
	if page != nil {
		run("web page", func() error { return page.Serve(ctx) })
	}
	return func() {
		for range n {
			<-done
		}
	}, nil
}

// notifier tells the service manager how weir stands; nil if there is none.
type notifier struct{ c *net.UnixConn }

// dialNotify opens the way to the service manager, which later may be forbidden.
func dialNotify() *notifier {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil
	}
	return &notifier{c}
}

// say sends words of sd_notify(3).
func (n *notifier) say(words string) {
	if n == nil {
		return
	}
	n.c.SetWriteDeadline(time.Now().Add(time.Second)) // a manager that does not listen stops nobody
	n.c.Write([]byte(words))
}

// written are the directories of the files that a gateway writes.
func (f *watchFlags) written() (dirs []string) {
	for _, name := range []string{f.RuleLog, f.RulePackets} {
		if name != "" {
			dirs = append(dirs, filepath.Dir(name))
		}
	}
	return dirs
}

// socket is the path of the control socket; empty without one.
func (f *watchFlags) socket() string {
	switch f.Control {
	case "none":
		return ""
	case "":
		return controlPath("")
	}
	return f.Control
}

// removed is the directory of the socket, which a gateway that ends takes away.
func (f *watchFlags) removed() []string {
	dir := filepath.Dir(f.socket())
	if f.Control == "none" {
		return nil
	}
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	return []string{dir}
}

// watchdog tells the service manager that the machine still answers, as often
// as it wants to hear it.
func watchdog(ctx context.Context, g *gateway.Gateway, systemd *notifier) {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec < 1000 {
		return
	}
	t := time.NewTicker(time.Duration(usec) * time.Microsecond / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			g.Do(func(*engine.Machine) {})
			systemd.say("WATCHDOG=1")
		}
	}
}

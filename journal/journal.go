package journal

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/capture"
	"weir/hook"
)

// Options say where things are written; what is nil is not.
type Options struct {
	// Log takes a record for each line; the rule, interfaces and group are
	// attributes.
	Log *slog.Logger
	// Text takes lines as syslog files have them: time, host, "kernel:" and
	// the line as the kernel writes it.
	Text io.Writer
	Host string // of Text; "weir" if empty
	// Capture takes pcapng of the packets that LOG and NFLOG rules logged.
	Capture io.Writer
	// Snap is how many bytes of a packet are kept; 0 is 65535.
	Snap int
	// Queue is how many records may wait; 0 is 4096.
	Queue int
}

// record is a line on its way.
type record struct {
	hook.LogRecord
	time    int64
	in, out string
	data    []byte // with Capture only
	length  int    // of the packet
}

// Journal is a hook.Logger that writes to files. Make one with New.
type Journal struct {
	opt  Options
	ch   chan record
	lost atomic.Uint64
	all  atomic.Uint64
	done sync.WaitGroup
	err  error
	pcap *capture.Writer
	// begun tells a writer of captures that its file began anew.
	begun func() bool
	buf   []byte
	// text and packets are Options' writers, nil once they failed. They belong
	// to the goroutine that writes.
	text, packets io.Writer
}

// New begins to write.
func New(o Options) *Journal {
	if o.Host == "" {
		o.Host = "weir"
	}
	if o.Snap <= 0 {
		o.Snap = 65535
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	j := &Journal{opt: o, ch: make(chan record, o.Queue), text: o.Text, packets: o.Capture}
	if f, ok := o.Capture.(*File); ok {
		j.begun = f.fresh
	}
	j.done.Add(1)
	go j.run()
	return j
}

// Lost is how many records were lost, Records how many came.
func (j *Journal) Lost() uint64    { return j.lost.Load() }
func (j *Journal) Records() uint64 { return j.all.Load() }

// Log implements hook.Logger.
func (j *Journal) Log(t *hook.Traversal, l hook.LogRecord) {
	j.all.Add(1)
	r := record{LogRecord: l}
	if t != nil {
		r.time = t.Now
		if t.In != nil {
			r.in = t.In.Name
		}
		if t.Out != nil {
			r.out = t.Out.Name
		}
		if j.opt.Capture != nil && t.Pkt != nil && (l.Source == "LOG" || l.Source == "NFLOG") {
			d := t.Pkt.Data
			n := min(len(d), j.opt.Snap)
			if l.Size > 0 {
				n = min(n, int(l.Size))
			}
			r.data, r.length = slices.Clone(d[:n]), len(d)
		}
	}
	select {
	case j.ch <- r:
	default:
		j.lost.Add(1)
	}
}

// Close writes what waits. Nobody may log any more. It returns the first error
// of a writer; what came after that was thrown away.
func (j *Journal) Close() error {
	close(j.ch)
	j.done.Wait()
	return j.err
}

func (j *Journal) run() {
	defer j.done.Done()
	said := uint64(0)
	for r := range j.ch {
		j.write(&r)
		if n := j.lost.Load(); n > said && len(j.ch) == 0 && j.opt.Log != nil {
			j.opt.Log.Warn("lines of rules were lost: they came faster than they could be written", "lines", n-said)
			said = n
		}
	}
}

func (j *Journal) write(r *record) {
	if l := j.opt.Log; l != nil {
		a := make([]slog.Attr, 0, 5)
		for _, x := range []struct{ key, value string }{{"source", r.Source}, {"rule", r.Rule}, {"in", r.in}, {"out", r.out}} {
			if x.value != "" {
				a = append(a, slog.String(x.key, x.value))
			}
		}
		if r.Source == "NFLOG" {
			a = append(a, slog.Int("group", int(r.Group)))
		}
		l.LogAttrs(context.Background(), Level(r.Level), r.Text, a...)
	}
	if j.text != nil {
		j.buf = time.Unix(0, r.time).UTC().AppendFormat(j.buf[:0], "2006-01-02T15:04:05.000000-07:00")
		j.buf = append(append(append(append(j.buf, ' '), j.opt.Host...), " kernel: "...), r.Text...)
		_, err := j.text.Write(append(j.buf, '\n'))
		j.failed(&j.text, err)
	}
	if r.data != nil && j.packets != nil {
		j.failed(&j.packets, j.packet(r))
	}
}

// packet writes a packet with its rule as the comment.
func (j *Journal) packet(r *record) (err error) {
	if j.pcap == nil || j.begun != nil && j.begun() {
		if j.pcap, err = capture.NewWriter(j.packets); err != nil {
			return err
		}
	}
	comment := r.Rule
	if comment == "" {
		comment = r.Source
	}
	name := r.in
	if name == "" {
		name = r.out
	}
	return j.pcap.Part(name, r.time, r.data, r.length, comment)
}

// failed gives a writer up: what it holds may be cut off in the middle.
func (j *Journal) failed(w *io.Writer, err error) {
	if err == nil {
		return
	}
	*w, j.err = nil, errors.Join(j.err, err)
	if j.opt.Log != nil {
		j.opt.Log.Error("what rules log cannot be written any more", "error", err)
	}
}

// Level is a level of syslog as slog has it.
func Level(l uint8) slog.Level {
	switch {
	case l <= 3:
		return slog.LevelError
	case l == 4:
		return slog.LevelWarn
	case l <= 6:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

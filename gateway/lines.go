package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"weir/hook"
)

// lines writes what rules log to a logger that may be slow: lines wait in a
// queue, and those that find it full are counted instead.
type lines struct {
	log  *slog.Logger
	list chan hook.LogRecord
	lost atomic.Uint64
	done sync.WaitGroup
}

// maxLines is how many lines may wait.
const maxLines = 1024

func newLines(l *slog.Logger) *lines {
	q := &lines{log: l, list: make(chan hook.LogRecord, maxLines)}
	q.done.Add(1)
	return q
}

// Log implements hook.Logger.
func (q *lines) Log(_ *hook.Traversal, r hook.LogRecord) {
	select {
	case q.list <- r:
	default:
		q.lost.Add(1)
	}
}

func (q *lines) run() {
	defer q.done.Done()
	for r := range q.list {
		q.log.Log(context.Background(), level(r.Level), r.Text, "source", r.Source)
		if n := q.lost.Swap(0); n > 0 {
			q.log.Warn("lines of rules were lost: they came faster than they could be written", "lines", n)
		}
	}
}

// stop writes what waits. Nobody may log any more.
func (q *lines) stop() {
	close(q.list)
	q.done.Wait()
}

// level is a level of syslog.
func level(l uint8) slog.Level {
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

package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// progress counts the bytes read from a file and tells, once a second has
// passed and if somebody looks, how far the work is.
type progress struct {
	io.Reader
	read    atomic.Int64
	packets atomic.Int64
	size    int64
	w       io.Writer
	stop    chan struct{}
	ended   chan struct{}
}

// watch wraps r. size 0: not known.
func (e *env) watch(r io.Reader, size int64) *progress {
	p := &progress{Reader: r, size: size, w: e.stderr}
	if e.progress {
		p.stop, p.ended = make(chan struct{}), make(chan struct{})
		go p.tell()
	}
	return p
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read.Add(int64(n))
	return n, err
}

func (p *progress) tell() {
	defer close(p.ended)
	start := time.Now()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	shown := false
	for {
		select {
		case <-p.stop:
			if shown {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		case now := <-tick.C:
			d := now.Sub(start)
			if d < time.Second {
				continue
			}
			shown = true
			n := p.packets.Load()
			part := ""
			if p.size > 0 {
				part = fmt.Sprintf("%3d%%  ", min(p.read.Load()*100/p.size, 100))
			}
			fmt.Fprintf(p.w, "\r\x1b[K%s%d packets, %.0f a second", part, n, float64(n)/d.Seconds())
		}
	}
}

// done ends the telling and clears the line.
func (p *progress) done() {
	if p.stop != nil {
		close(p.stop)
		<-p.ended
	}
}

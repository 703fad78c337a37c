package gateway

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// stateEvery is how often the connections are written down.
const stateEvery = 3 * time.Second

// readState takes the connections over that an earlier process wrote. A file
// that cannot be used is reported and left alone until the next one replaces it.
func (g *Gateway) readState() {
	b, err := os.ReadFile(g.opt.State)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = g.eng.LoadSnapshot(b, func(written int64) int64 {
			// Later than now: somebody has set the clock back.
			return min(0, g.clock()-written)
		})
	}
	if err != nil {
		g.log.Error("the state was not read: starting without connections", "file", g.opt.State, "error", err)
		return
	}
	g.log.Info("state read", "file", g.opt.State, "connections", g.eng.Conntrack().Len())
}

// keepState writes the connections down now and then, until ctx is done, and
// once more then. Packets do not wait for it.
func (g *Gateway) keepState(ctx context.Context) {
	t := time.NewTicker(stateEvery)
	defer t.Stop()
	var buf []byte
	failed := false
	write := func() {
		buf = g.eng.AppendSnapshot(buf[:0], g.clock())
		err := replaceFile(g.opt.State, buf)
		if err != nil && !failed {
			g.log.Error("the state was not written", "file", g.opt.State, "error", err)
		} else if err == nil && failed {
			g.log.Info("the state is written again", "file", g.opt.State)
		}
		failed = err != nil
	}
	for {
		select {
		case <-ctx.Done():
			if !g.handed.Load() { // else it is the successor's
				write()
			}
			return
		case <-t.C:
			if !g.handed.Load() {
				write()
			}
		}
	}
}

// replaceFile writes a file beside the old one and puts it into its place, so
// that there is always a whole one.
func replaceFile(name string, b []byte) (err error) {
	tmp := name + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	if d, derr := os.Open(filepath.Dir(name)); derr == nil {
		_ = d.Sync() // the new name, too
		d.Close()
	}
	return nil
}

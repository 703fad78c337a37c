package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultPath is where the socket is unless somebody says otherwise: in the
// user's runtime directory, else in /run.
func DefaultPath() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "weir.sock")
	}
	return "/run/weir.sock"
}

// ErrInUse is what Listen returns when somebody answers at the path.
var ErrInUse = errors.New("another weir answers there")

// Listen makes the socket. Nobody but the owner can open it at any time: it is
// made in a directory of its own and moved to its place. One that nobody
// answers at is replaced.
func Listen(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s: exists and is no socket", path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".weir")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(tmp, 0o600); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	made, _ := os.Lstat(path)
	return &socket{Listener: l, path: path, made: made}, nil
}

// socket removes its file when it is closed, unless it is another's by then.
type socket struct {
	net.Listener
	path string
	made fs.FileInfo
}

func (s *socket) Close() error {
	if st, err := os.Lstat(s.path); err == nil && s.made != nil && os.SameFile(st, s.made) {
		os.Remove(s.path)
	}
	return s.Listener.Close()
}

// limited turns connections away when there are too many.
type limited struct {
	net.Listener
	max     int32
	open    atomic.Int32
	refused *atomic.Uint64
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.max {
			return &counted{Conn: c, l: l}, nil
		}
		l.open.Add(-1)
		l.refused.Add(1)
		c.SetDeadline(time.Now().Add(100 * time.Millisecond))
		c.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 34\r\n\r\n{\"error\":\"too many connections\"}\r\n"))
		c.Close()
	}
}

type counted struct {
	net.Conn
	l    *limited
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.l.open.Add(-1) })
	return c.Conn.Close()
}

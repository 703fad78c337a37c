//go:build unix && !solaris && !aix

package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockDir locks a machine directory against other changes: at once, or waiting
// as long as it takes (limit 0) or for limit.
func lockDir(dir string, wait bool, limit time.Duration) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if !wait || limit > 0 {
		how |= unix.LOCK_NB
	}
	for until := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EWOULDBLOCK):
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
		case time.Now().After(until) || !wait:
			f.Close()
			return nil, errLocked
		}
	}
}

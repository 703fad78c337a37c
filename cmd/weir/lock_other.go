//go:build !unix || solaris || aix

package main

import (
	"errors"
	"time"
)

func lockDir(string, bool, time.Duration) (func(), error) {
	return nil, errors.New("weir with needs a system with flock(2)")
}

//go:build !linux

package main

import "time"

var start = time.Now()

// threadTime is elapsed time where the thread's CPU time is not to be had.
func threadTime() int64 { return int64(time.Since(start)) }

func processTime() int64 { return int64(time.Since(start)) }

const timeKind = "elapsed time"

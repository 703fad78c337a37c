package main

import (
	"golang.org/x/sys/unix"
)

// threadTime is the CPU time of this thread in ns. getrusage(RUSAGE_THREAD)
// counts the same time but brings it up to date only at a tick of the
// scheduler.
func threadTime() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return t.Nano()
}

// processTime is the CPU time of all threads in ns: the garbage collector's
// as well.
func processTime() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return t.Nano()
}

const timeKind = "CPU time of the thread"

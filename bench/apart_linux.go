package main

import "syscall"

// apart keeps a key press that interrupts the first process from the others,
// and ends them with it.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

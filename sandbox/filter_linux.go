//go:build linux && (amd64 || arm64)

package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls are the system calls that stay: what Go's runtime needs, files,
// descriptors that are open, and accepting on sockets that are.
func calls() []int {
	return append(legacyCalls(), []int{
		// memory, threads, time, signals
		unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_BRK, unix.SYS_MINCORE,
		unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST, unix.SYS_MEMBARRIER,
		unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RESTART_SYSCALL,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
		unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_TGKILL,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
		unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_PRLIMIT64,
		// descriptors
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_LSEEK,
		unix.SYS_CLOSE, unix.SYS_FCNTL, unix.SYS_PPOLL, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT,
		unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_DUP, unix.SYS_DUP3,
		// files
		unix.SYS_OPENAT, unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_GETDENTS64, unix.SYS_READLINKAT, unix.SYS_FACCESSAT,
		unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
		unix.SYS_UNLINKAT, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FLOCK, unix.SYS_GETCWD,
		// sockets that are there
		unix.SYS_ACCEPT4, unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_RECVMMSG, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG,
		unix.SYS_SHUTDOWN, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT,
	}...)
}

// deadly are the calls whose attempt ends the process: only one that is no
// longer itself makes them.
func deadly() []int { return []int{unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE} }

// ioctls are those that stay, by number: the name of a device.
func ioctls() []uint32 { return []uint32{unix.SIOCGIFNAME} }

// Offsets of struct seccomp_data.
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16
	dataArg1 = 24
)

// seccomp lets the calls of the list pass. Others fail with EPERM.
func seccomp() error {
	prog := program()
	fp := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fp)))
	if e != 0 {
		return e
	}
	return nil
}

// program is the filter.
func program() (p []unix.SockFilter) {
	load := func(at uint32) {
		p = append(p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at})
	}
	ret := func(v uint32) { p = append(p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v}) }
	// when runs then if the word equals v.
	when := func(v uint32, then func()) {
		at := len(p)
		p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: v})
		then()
		p[at].Jf = uint8(len(p) - at - 1)
	}
	const refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	allow := func() { ret(unix.SECCOMP_RET_ALLOW) }
	kill := func() { ret(unix.SECCOMP_RET_KILL_PROCESS) }
	load(dataArch)
	p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1})
	kill()
	load(dataNr)
	for _, n := range calls() {
		when(uint32(n), allow)
	}
	for _, n := range deadly() {
		when(uint32(n), kill)
	}
	when(unix.SYS_CLONE3, func() { ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)) })
	when(unix.SYS_CLONE, func() { // threads, no processes
		load(dataArg0)
		p = append(p, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: unix.CLONE_THREAD})
		when(unix.CLONE_THREAD, allow)
		ret(refuse)
	})
	when(unix.SYS_PRCTL, func() { // names of memory
		load(dataArg0)
		when(unix.PR_SET_VMA, allow)
		ret(refuse)
	})
	when(unix.SYS_IOCTL, func() {
		load(dataArg1)
		for _, v := range ioctls() {
			when(v, allow)
		}
		ret(refuse)
	})
	ret(refuse)
	return p
}

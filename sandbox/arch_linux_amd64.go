package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// legacyCalls are those that only old architectures have.
func legacyCalls() []int {
	return []int{
		unix.SYS_NEWFSTATAT, unix.SYS_EPOLL_WAIT, unix.SYS_POLL, unix.SYS_RENAME, unix.SYS_UNLINK, unix.SYS_STAT, unix.SYS_LSTAT,
		unix.SYS_READLINK, unix.SYS_ARCH_PRCTL, unix.SYS_GETRLIMIT,
	}
}

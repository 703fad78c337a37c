package sandbox

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// legacyCalls are those that only some architectures have.
func legacyCalls() []int { return []int{unix.SYS_FSTATAT, unix.SYS_GETRLIMIT} }

package sandbox

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Enter restricts every thread of the process, for good. What the kernel does
// not have is left out and reported.
func Enter(p Policy) (r Report) {
	lack := func(what string, err error) bool {
		if err != nil {
			r.Missing = append(r.Missing, what+": "+err.Error())
		}
		return err == nil
	}
	if !lack("no_new_privs", allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)) {
		return r
	}
	abi, err := landlock(p)
	if lack("Landlock", err) {
		r.Landlock = abi
	}
	r.Capabilities = lack("capabilities", dropCapabilities())
	r.Seccomp = lack("seccomp", seccomp())
	return r
}

// allThreads makes a system call on every thread.
func allThreads(trap, a, b, c uintptr) error {
	_, _, e := syscall.AllThreadsSyscall(trap, a, b, c)
	switch e {
	case 0:
		return nil
	case syscall.ENOTSUP:
		return errors.New("a program that was built with cgo cannot restrict all of its threads (CGO_ENABLED=0 builds one that can)")
	}
	return e
}

// dropCapabilities gives up all of them.
func dropCapabilities() error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	return allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d)), 0)
}

const (
	fsAll1 = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	fsRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fsWrite = fsRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// fsFile is what a rule for a file may name.
	fsFile = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// landlock allows the files of the policy, no TCP connections or listeners, and
// no signals to or abstract sockets of others.
func landlock(p Policy) (abi int, err error) {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0, fmt.Errorf("the kernel does not have it: %w", e)
	}
	abi = int(v)
	attr := unix.LandlockRulesetAttr{Access_fs: fsAll1}
	size := unsafe.Sizeof(attr.Access_fs)
	if abi >= 2 {
		attr.Access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		attr.Access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		attr.Access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attr.Access_net)
	}
	if abi >= 5 {
		attr.Access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size += unsafe.Sizeof(attr.Scoped)
	}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if e != 0 {
		return 0, e
	}
	defer unix.Close(int(fd))
	for _, x := range []struct {
		paths  []string
		access uint64
	}{{p.Read, fsRead}, {p.Write, fsWrite}, {p.Remove, unix.LANDLOCK_ACCESS_FS_REMOVE_FILE}} {
		for _, path := range x.paths {
			if err := beneath(int(fd), path, x.access&attr.Access_fs); err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return abi, allThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0)
}

// beneath allows accesses to a directory and all in it, or to a file.
func beneath(ruleset int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= fsFile
	}
	a := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&a)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

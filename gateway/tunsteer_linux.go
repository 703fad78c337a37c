package gateway

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/packet"
)

// steer gives every packet of a flow the same queue of a TUN device of several.
// Without it Linux chooses the queue that the other direction was last written
// to. weir writes by the queue of the device from which it read, so the two
// devices lead each other from queue to queue, and packets of a flow pass one
// another on the way.
func steer(fd int) error {
	prog, err := loadProgram(unix.BPF_PROG_TYPE_SOCKET_FILTER, steerProgram())
	if err != nil {
		return err
	}
	defer unix.Close(prog) // the device keeps it
	n := int32(prog)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETSTEERINGEBPF, uintptr(unsafe.Pointer(&n))); e != 0 {
		return os.NewSyscallError("TUNSETSTEERINGEBPF", e)
	}
	return nil
}

// steerProgram returns a number from the two ports, of which the kernel takes
// the remainder by the number of queues. It is the same for both directions, and
// on both sides of a translation that leaves the ports as they are, so that mostly
// one worker has all of a connection. What has no ports, or has them
// in the first of its fragments only, goes to the first queue. A packet that is
// cut off ends the program, with 0.
func steerProgram() []bpfInsn {
	const (
		byteAt = unix.BPF_LD | unix.BPF_ABS | unix.BPF_B
		halfAt = unix.BPF_LD | unix.BPF_ABS | unix.BPF_H
		port   = unix.BPF_LD | unix.BPF_IND | unix.BPF_H
		move   = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
		set    = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
		and    = unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K
		left   = unix.BPF_ALU64 | unix.BPF_LSH | unix.BPF_K
		right  = unix.BPF_ALU64 | unix.BPF_RSH | unix.BPF_K
		times  = unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K
		xor    = unix.BPF_ALU64 | unix.BPF_XOR | unix.BPF_X
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		differ = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
		skip   = unix.BPF_JMP | unix.BPF_JA
		end    = unix.BPF_JMP | unix.BPF_EXIT
	)
	return []bpfInsn{
		insn(move, 6, 1, 0, 0), // where BPF_ABS and BPF_IND look for the packet
		insn(byteAt, 0, 0, 0, 0),
		insn(move, 8, 0, 0, 0),
		insn(right, 0, 0, 0, 4),
		insn(equal, 0, 0, 8, 6),   // IPv6
		insn(differ, 0, 0, 20, 4), // none
		insn(and, 8, 0, 0, 15),
		insn(left, 8, 0, 0, 2), // length of the header
		insn(halfAt, 0, 0, 0, 6),
		insn(and, 0, 0, 0, 0x3fff),
		insn(differ, 0, 0, 15, 0), // a fragment: none
		insn(byteAt, 0, 0, 0, 9),
		insn(skip, 0, 0, 2, 0),
		insn(set, 8, 0, 0, 40), // IPv6
		insn(byteAt, 0, 0, 0, 6),
		insn(equal, 0, 0, 3, packet.TCP),
		insn(equal, 0, 0, 2, packet.UDP),
		insn(equal, 0, 0, 1, packet.SCTP),
		insn(differ, 0, 0, 7, packet.DCCP), // none
		insn(port, 0, 8, 0, 0),
		insn(move, 7, 0, 0, 0),
		insn(port, 0, 8, 0, 2),
		insn(xor, 0, 7, 0, 0),
		insn(times, 0, 0, 0, 0x9e3779b1-1<<32),
		insn(right, 0, 0, 0, 16),
		insn(end, 0, 0, 0, 0),
		insn(set, 0, 0, 0, 0), // none
		insn(end, 0, 0, 0, 0),
	}
}

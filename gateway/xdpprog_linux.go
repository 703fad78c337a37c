package gateway

import (
	"encoding/binary"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bpfInsn is struct bpf_insn.
type bpfInsn struct {
	op   uint8
	regs uint8 // destination, source
	off  int16
	imm  int32
}

// What BPF names and x/sys does not. Numbers: linux/bpf.h.
const (
	bpfMapXSK      = 17 // BPF_MAP_TYPE_XSKMAP
	bpfRedirectMap = 51 // bpf_redirect_map
	xdpDrop        = 1
	xdpPass        = 2
	// Offsets in struct xdp_md.
	xdpData, xdpDataEnd, xdpRxQueue = 0, 4, 16
)

func insn(op uint8, dst, src uint8, off int16, imm int32) bpfInsn {
	regs := dst | src<<4
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 { // big-endian
		regs = dst<<4 | src
	}
	return bpfInsn{op, regs, off, imm}
}

// xdpProgram gives IP and ARP to the socket of the queue and all else to the
// kernel. What comes on a queue without a socket is dropped: the device is
// weir's.
func xdpProgram(sockets int) []bpfInsn {
	in := insn
	wire := func(v uint16) int32 { // as it is read from a frame
		return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)))
	}
	const (
		load32 = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
		load16 = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_H
		move   = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
		set    = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
		plus   = unix.BPF_ALU64 | unix.BPF_ADD | unix.BPF_K
	)
	return []bpfInsn{
		in(load32, 2, 1, xdpData, 0),
		in(load32, 3, 1, xdpDataEnd, 0),
		in(move, 4, 2, 0, 0),
		in(plus, 4, 0, 0, headLen),
		in(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_X, 4, 3, 10, 0), // shorter than a header: pass
		in(load16, 5, 2, 12, 0),
		in(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 5, 0, 2, wire(typeIPv4)),
		in(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 5, 0, 1, wire(typeIPv6)),
		in(unix.BPF_JMP|unix.BPF_JNE|unix.BPF_K, 5, 0, 6, wire(typeARP)), // pass
		in(load32, 2, 1, xdpRxQueue, 0),
		in(unix.BPF_LD|unix.BPF_IMM|unix.BPF_DW, 1, unix.BPF_PSEUDO_MAP_FD, 0, int32(sockets)),
		in(0, 0, 0, 0, 0), // the upper half
		in(set, 3, 0, 0, xdpDrop),
		in(unix.BPF_JMP|unix.BPF_CALL, 0, 0, 0, bpfRedirectMap),
		in(unix.BPF_JMP|unix.BPF_EXIT, 0, 0, 0, 0),
		in(set, 0, 0, 0, xdpPass),
		in(unix.BPF_JMP|unix.BPF_EXIT, 0, 0, 0, 0),
	}
}

// bpf is the system call.
func bpf(what string, cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
		switch e {
		case 0:
			return int(r), nil
		case unix.EINTR, unix.EAGAIN:
		default:
			return -1, os.NewSyscallError(what, e)
		}
	}
}

// loadProgram gives the kernel a program of a kind.
func loadProgram(kind uint32, prog []bpfInsn) (int, error) {
	license := []byte("Apache-2.0\x00")
	load := struct {
		kind, count    uint32
		insns, license uint64
		logLevel, size uint32
		log            uint64
	}{kind: kind, count: uint32(len(prog)), insns: uint64(uintptr(unsafe.Pointer(&prog[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0])))}
	fd, err := bpf("BPF_PROG_LOAD", unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	runtime.KeepAlive(prog)
	runtime.KeepAlive(license)
	return fd, err
}

// newSocketMap makes a map of n sockets.
func newSocketMap(n int) (int, error) {
	attr := struct{ kind, key, value, entries, flags uint32 }{bpfMapXSK, 4, 4, uint32(n), 0}
	return bpf("BPF_MAP_CREATE", unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// putSocket enters the socket of a queue.
func putSocket(sockets, queue, socket int) error {
	k, v := uint32(queue), uint32(socket)
	attr := struct {
		fd, _             uint32
		key, value, flags uint64
	}{fd: uint32(sockets), key: uint64(uintptr(unsafe.Pointer(&k))), value: uint64(uintptr(unsafe.Pointer(&v)))}
	_, err := bpf("BPF_MAP_UPDATE_ELEM", unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(&k)
	runtime.KeepAlive(&v)
	return err
}

// attachXDP runs the program on a device for as long as the descriptor that it
// returns is open.
func attachXDP(device, sockets int) (int, error) {
	fd, err := loadProgram(unix.BPF_PROG_TYPE_XDP, xdpProgram(sockets))
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd) // the link keeps it
	link := struct{ prog, device, kind, flags uint32 }{uint32(fd), uint32(device), unix.BPF_XDP, 0}
	return bpf("BPF_LINK_CREATE", unix.BPF_LINK_CREATE, unsafe.Pointer(&link), unsafe.Sizeof(link))
}

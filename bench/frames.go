//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// frames lets packets arrive as frames of XDP, 64 at a time, as a driver's
// poll does, and takes them at the egress of the other device before a driver
// would. Everything between runs in this thread inside of one system call.
// Needs Linux 6.6.
type frames struct {
	in, drop *ebpf.Program
	state    []uint32 // mapped: next and end of the frames to receive
	batch    []byte   // mapped: frameSlot bytes a frame
	out      []byte   // mapped: a counter, a switch, the last packet that left
	ifs      [2]int
	header   [2][14]byte
	count    [2]int // frames staged, by way
	keep     []any  // what must stay open
}

const (
	frameSlot = 80
	frameLen  = 14 + packetLen
	// liveFrames is BPF_F_TEST_XDP_LIVE_FRAMES.
	liveFrames = 1 << 1
)

// openFrames makes the devices lan0 and wan0 in this thread's namespace, with
// the next hops that they need, and the programs.
func openFrames() (*frames, error) {
	f := &frames{}
	for i, name := range nicNames {
		peer := name + "p"
		for _, args := range [][]string{
			{"link", "add", name, "type", "veth", "peer", "name", peer},
			{"link", "set", peer, "up"},
			{"link", "set", name, "up"},
		} {
			if err := run("", "ip", args...); err != nil {
				return nil, err
			}
		}
		dev, err := net.InterfaceByName(name)
		if err != nil {
			return nil, err
		}
		f.ifs[i] = dev.Index
		copy(f.header[i][:], dev.HardwareAddr)
		copy(f.header[i][6:], []byte{2, 0, 0, 0, 0, 1})
		f.header[i][12] = 8 // IPv4
	}
	state, err := f.array(8, 1)
	if err != nil {
		return nil, err
	}
	batch, err := f.array(frameSlot, batchMax)
	if err != nil {
		return nil, err
	}
	out, err := f.array(16+packetLen, 1)
	if err != nil {
		return nil, err
	}
	if f.in, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Apache-2.0", Instructions: receive(state.FD(), batch.FD())}); err != nil {
		return nil, fmt.Errorf("XDP program: %w", err)
	}
	if f.drop, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: leave(out.FD())}); err != nil {
		return nil, fmt.Errorf("egress program: %w", err)
	}
	for _, index := range f.ifs {
		// Attached, so that the device has a queue that frames can name.
		x, err := link.AttachXDP(link.XDPOptions{Program: f.in, Interface: index, Flags: link.XDPDriverMode})
		if err != nil {
			return nil, fmt.Errorf("XDP on a veth device: %w", err)
		}
		t, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: f.drop, Attach: ebpf.AttachTCXEgress})
		if err != nil {
			return nil, fmt.Errorf("program at egress: %w", err)
		}
		f.keep = append(f.keep, x, t)
	}
	s, err := f.mapped(state, 8)
	if err != nil {
		return nil, err
	}
	f.state = unsafe.Slice((*uint32)(unsafe.Pointer(&s[0])), 2)
	if f.batch, err = f.mapped(batch, frameSlot*batchMax); err != nil {
		return nil, err
	}
	f.out, err = f.mapped(out, 16+packetLen)
	return f, err
}

func (f *frames) array(size, n uint32) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: size, MaxEntries: n, Flags: unix.BPF_F_MMAPABLE})
	if err != nil {
		return nil, fmt.Errorf("BPF map: %w", err)
	}
	f.keep = append(f.keep, m)
	return m, nil
}

func (f *frames) mapped(m *ebpf.Map, n int) ([]byte, error) {
	page := os.Getpagesize()
	b, err := unix.Mmap(m.FD(), 0, (n+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("BPF map: %w", err)
	}
	return b, nil
}

// receive is the program that fills each frame: it takes the next of the
// batch and passes it up; after the last it drops.
func receive(state, batch int) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R7, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R0, asm.R6),
		asm.Add.Imm(asm.R0, frameLen),
		asm.JGT.Reg(asm.R0, asm.R7, "drop"),
		asm.LoadMapValue(asm.R8, state, 0),
		asm.LoadMem(asm.R1, asm.R8, 0, asm.Word),
		asm.LoadMem(asm.R2, asm.R8, 4, asm.Word),
		asm.JGE.Reg(asm.R1, asm.R2, "drop"),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R8, 0, asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, batch),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
	}
	for at := int16(0); at < frameLen; {
		size, n := asm.DWord, int16(8)
		switch left := frameLen - at; {
		case left < 4:
			size, n = asm.Half, 2
		case left < 8:
			size, n = asm.Word, 4
		}
		code = append(code, asm.LoadMem(asm.R1, asm.R0, at, size), asm.StoreMem(asm.R6, at, asm.R1, size))
		at += n
	}
	return append(code,
		asm.Mov.Imm(asm.R0, 2), // XDP_PASS
		asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"), // XDP_DROP
		asm.Return())
}

// leave is the program at the way out: it counts the packet, copies it if the
// switch is on, and drops it.
func leave(out int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(asm.R6, out, 0),
		asm.LoadMem(asm.R2, asm.R6, 0, asm.DWord),
		asm.Add.Imm(asm.R2, 1),
		asm.StoreMem(asm.R6, 0, asm.R2, asm.DWord),
		asm.LoadMem(asm.R2, asm.R6, 8, asm.Word),
		asm.JEq.Imm(asm.R2, 0, "done"),
		asm.Mov.Imm(asm.R2, 14),
		asm.Mov.Reg(asm.R3, asm.R6),
		asm.Add.Imm(asm.R3, 16),
		asm.Mov.Imm(asm.R4, packetLen),
		asm.FnSkbLoadBytes.Call(),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("done"), // TCX_DROP
		asm.Return(),
	}
}

func (f *frames) left() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&f.out[0])))
}

// arrive lets the frames from first to end arrive on a device.
func (f *frames) arrive(w Way, first, end int) error {
	if end == first {
		return nil
	}
	atomic.StoreUint32(&f.state[0], uint32(first))
	atomic.StoreUint32(&f.state[1], uint32(end))
	// struct xdp_md: data, data_end, data_meta, ingress_ifindex,
	// rx_queue_index, egress_ifindex.
	var ctx [24]byte
	binary.NativeEndian.PutUint32(ctx[4:], frameLen)
	binary.NativeEndian.PutUint32(ctx[12:], uint32(f.ifs[w]))
	var data [frameLen]byte
	_, err := f.in.Run(&ebpf.RunOptions{Data: data[:], Context: ctx[:], Repeat: uint32(end - first), Flags: liveFrames})
	return err
}

func (f *frames) put(i int, w Way, b []byte) {
	slot := f.batch[i*frameSlot:]
	copy(slot, f.header[w][:])
	copy(slot[14:frameLen], b)
}

func (f *frames) push(w Way, b []byte) []byte {
	f.put(0, w, b)
	binary.NativeEndian.PutUint32(f.out[8:], 1)
	defer binary.NativeEndian.PutUint32(f.out[8:], 0)
	before := f.left()
	if f.arrive(w, 0, 1) != nil || f.left() != before+1 {
		return nil
	}
	return f.out[16 : 16+packetLen]
}

// stage puts the outward packets first: a run has one device to arrive on.
func (f *frames) stage(batch []Packet) {
	f.count = [2]int{}
	for w := Outward; w <= Inward; w++ {
		for i := range batch {
			if batch[i].Way == w {
				f.put(f.count[0]+f.count[1], w, batch[i].Data)
				f.count[w]++
			}
		}
	}
}

func (f *frames) run() int {
	before := f.left()
	n := f.count[Outward]
	if err := errors.Join(f.arrive(Outward, 0, n), f.arrive(Inward, n, n+f.count[Inward])); err != nil {
		return 0
	}
	return int(f.left() - before)
}

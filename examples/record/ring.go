//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Linux constants that package syscall does not have.
const (
	packetVersion  = 10 // PACKET_VERSION
	packetOutgoing = 4  // PACKET_OUTGOING
	version2       = 1  // TPACKET_V2

	statusUser           = 1 << 0 // the slot is ours to read
	statusChecksumMissed = 1 << 3 // left to hardware that is not there

	slotSize  = 2048 // holds a frame of 1514 bytes and the header before it
	blockSize = 1 << 20
	slots     = 1 << 15
)

// packetRing receives from all interfaces of the namespace. The kernel
// copies each packet into it as it passes. A plain packet socket would queue
// references to the packet's memory instead, and show parts of it as address
// translation and fragmentation wrote them later.
type packetRing struct {
	fd     int
	memory []byte
	slot   int
}

// ringPacket is one packet; frame belongs to the ring until release.
type ringPacket struct {
	device   int   // interface index
	stamp    int64 // nanoseconds since 1970, taken as the kernel handled it
	frame    []byte
	outgoing bool
	complete bool // the checksum is there
	cut      bool // longer than a slot
}

func openRing() (*packetRing, error) {
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, int(bigEndian(syscall.ETH_P_ALL)))
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_PACKET, packetVersion, version2); err != nil {
		return nil, fmt.Errorf("ring version: %w", err)
	}
	request := [4]uint32{blockSize, slots * slotSize / blockSize, slotSize, slots}
	_, _, errno := syscall.Syscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), syscall.SOL_PACKET,
		syscall.PACKET_RX_RING, uintptr(unsafe.Pointer(&request)), unsafe.Sizeof(request), 0)
	if errno != 0 {
		return nil, fmt.Errorf("ring: %w", errno)
	}
	memory, err := syscall.Mmap(fd, 0, slots*slotSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("ring memory: %w", err)
	}
	return &packetRing{fd: fd, memory: memory}, nil
}

// status is the word by which kernel and reader hand a slot to each other.
func (r *packetRing) status() *uint32 {
	return (*uint32)(unsafe.Pointer(&r.memory[r.slot*slotSize]))
}

// next returns the oldest packet not yet released; ok is false when none waits.
func (r *packetRing) next() (p ringPacket, ok bool) {
	status := atomic.LoadUint32(r.status())
	if status&statusUser == 0 {
		return ringPacket{}, false
	}
	b := r.memory[r.slot*slotSize : (r.slot+1)*slotSize]
	word := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	length, kept := word(4), word(8)
	start := int(binary.NativeEndian.Uint16(b[12:]))
	const address = 32 // struct sockaddr_ll follows the header
	return ringPacket{
		device:   int(word(address + 4)),
		stamp:    int64(word(16))*1e9 + int64(word(20)),
		frame:    b[start : start+int(kept)],
		outgoing: b[address+10] == packetOutgoing,
		complete: status&statusChecksumMissed == 0,
		cut:      kept < length,
	}, true
}

// release gives the slot of the last packet back to the kernel.
func (r *packetRing) release() {
	atomic.StoreUint32(r.status(), 0)
	r.slot = (r.slot + 1) % slots
}

// dropped tells how many packets found no free slot.
func (r *packetRing) dropped() (uint32, error) {
	var stats [2]uint32 // packets, drops
	size := uint32(unsafe.Sizeof(stats))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(r.fd), syscall.SOL_PACKET,
		syscall.PACKET_STATISTICS, uintptr(unsafe.Pointer(&stats)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, errors.New("ring statistics: " + errno.Error())
	}
	return stats[1], nil
}

// bigEndian is htons.
func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Package cbpf checks and runs programs of the classic packet filter (BPF as
// McCanne and Jacobson described it, with Linux's ancillary loads).
//
// A Program that Check passed ends after at most MaxLen steps: jumps only go
// forward. Run allocates nothing. Layer 0. Linux: net/core/filter.c.
package cbpf

import (
	"encoding/binary"
	"errors"
)

// Insn is one instruction, as struct sock_filter.
type Insn struct {
	Code   uint16
	JT, JF uint8 // instructions to skip
	K      uint32
}

// Program is instructions.
type Program []Insn

// MaxLen is the most instructions that -m bpf takes.
const MaxLen = 64

// Meta is what a program may ask for beside the bytes of the packet.
type Meta struct {
	Mark    uint32
	PktType uint8
	// IfIndex is the index of the packet's device, 0 for none: a program
	// that asks for it then ends with 0.
	IfIndex uint32
	IPv6    bool
	// Link is the link header if HasLink; without one, what is asked of it is
	// asked of the packet. NoLink: a packet of this machine has none yet, and
	// a program that asks ends with 0.
	Link            [14]byte
	HasLink, NoLink bool
	Rand            interface{ Uint32() uint32 } // nil gives zeros
}

// The errors of reading and checking programs.
var (
	ErrText    = errors.New("not a program as nfbpf_compile prints it")
	ErrLength  = errors.New("the number of instructions is not what it begins with, or not from 1 to 64")
	errCode    = errors.New("unknown instruction")
	errZero    = errors.New("division by the constant zero, or a shift by 32 or more")
	errJump    = errors.New("a jump out of the program")
	errMemory  = errors.New("a memory cell that does not exist or was not written")
	errReturn  = errors.New("the last instruction does not return")
	errOutside = errors.New("a load of something that weir's packets do not have")
)

// Classes, sizes, modes and operations (linux/bpf_common.h).
const (
	ld, ldx, st, stx, alu, jmp, ret, misc = 0, 1, 2, 3, 4, 5, 6, 7

	word, half, byt = 0x00, 0x08, 0x10

	imm, abs, ind, mem, length, msh = 0x00, 0x20, 0x40, 0x60, 0x80, 0xa0

	add, sub, mul, div, or, and, lsh, rsh, neg, mod, xor = 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0

	ja, jeq, jgt, jge, jset = 0x00, 0x10, 0x20, 0x30, 0x40

	byX = 0x08 // the operand is X, not K
	acc = 0x10 // RET A
	txa = 0x80

	cells = 16
)

// Ancillary loads: offsets from adOff, bytes from the IP header on from
// netOff, and from the link header on from linkOff (linux/filter.h SKF_*).
const (
	adOff   = 0xfffff000
	netOff  = 0xfff00000
	linkOff = 0xffe00000

	adProtocol, adPktType, adIfIndex, adMark, adCPU, adXorX, adRandom = 0, 4, 8, 20, 36, 40, 56
)

// known reports an instruction of the classic set.
func known(code uint16) bool {
	switch code & 7 {
	case ld:
		switch code &^ 0x18 {
		case ld | abs, ld | ind:
			return code&0x18 != 0x18
		}
		return code == ld|imm || code == ld|mem || code == ld|length
	case ldx:
		return code == ldx|imm || code == ldx|mem || code == ldx|length || code == ldx|byt|msh
	case st, stx:
		return code == st || code == stx
	case alu:
		return code == alu|neg || code < 0x100 && code&0xf0 <= xor && code&0xf0 != neg
	case jmp:
		return code == jmp|ja || code < 0x100 && code&0xf0 >= jeq && code&0xf0 <= jset
	case ret:
		return code == ret || code == ret|acc
	}
	return code == misc || code == misc|txa
}

// Check refuses what Linux refuses to load, and loads of what weir's packets
// do not have. Linux: bpf_check_classic.
func (p Program) Check() error {
	if len(p) == 0 || len(p) > MaxLen {
		return ErrLength
	}
	var written [MaxLen + 1]uint16 // cells that are written on every way to the instruction
	for i := range written {
		written[i] = 1<<cells - 1
	}
	have := uint16(0)
	for pc, in := range p {
		if !known(in.Code) {
			return errCode
		}
		have &= written[pc]
		left := uint64(len(p) - pc - 1)
		switch in.Code & 7 {
		case alu:
			switch op := in.Code & 0xf0; {
			case in.Code&byX != 0:
			case (op == div || op == mod) && in.K == 0, (op == lsh || op == rsh) && in.K >= 32:
				return errZero
			}
		case st, stx:
			if in.K >= cells {
				return errMemory
			}
			have |= 1 << in.K
		case ld, ldx:
			if in.Code&0xe0 == mem && (in.K >= cells || have&(1<<in.K) == 0) {
				return errMemory
			}
			if in.Code&7 == ld && in.Code&0xe0 == abs && in.K >= adOff {
				switch in.K - adOff {
				case adProtocol, adPktType, adIfIndex, adMark, adCPU, adXorX, adRandom:
				default:
					return errOutside
				}
			}
		case jmp:
			if in.Code == jmp|ja {
				if uint64(in.K) >= left {
					return errJump
				}
				written[pc+1+int(in.K)] &= have
			} else {
				if uint64(in.JT) >= left || uint64(in.JF) >= left {
					return errJump
				}
				written[pc+1+int(in.JT)] &= have
				written[pc+1+int(in.JF)] &= have
			}
			have = 1<<cells - 1
		}
	}
	if p[len(p)-1].Code&7 != ret {
		return errReturn
	}
	return nil
}

// Run is what the program returns for the packet d, which begins with its IP
// header. A load behind the end and a division by zero return 0.
func (p Program) Run(d []byte, m Meta) uint32 {
	var a, x uint32
	var cell [cells]uint32
	for pc := 0; pc < len(p); pc++ {
		in := &p[pc]
		switch in.Code & 7 {
		case ld:
			ok := true
			switch in.Code & 0xe0 {
			case imm:
				a = in.K
			case mem:
				a = cell[in.K%cells]
			case length:
				a = uint32(len(d))
			case ind:
				a, ok = m.load(d, x+in.K, in.Code)
			case abs:
				if in.K >= adOff {
					a, ok = m.ancillary(in.K-adOff, a, x)
				} else {
					a, ok = m.load(d, in.K, in.Code)
				}
			}
			if !ok {
				return 0
			}
		case ldx:
			switch in.Code & 0xe0 {
			case imm:
				x = in.K
			case mem:
				x = cell[in.K%cells]
			case length:
				x = uint32(len(d))
			case msh:
				v, ok := m.load(d, in.K, byt)
				if !ok {
					return 0
				}
				x = v & 0xf * 4
			}
		case st:
			cell[in.K%cells] = a
		case stx:
			cell[in.K%cells] = x
		case alu:
			k := in.K
			if in.Code&byX != 0 {
				k = x
			}
			switch op := in.Code & 0xf0; {
			case (op == div || op == mod) && k == 0:
				return 0
			default:
				a = compute(op, a, k)
			}
		case jmp:
			pc += in.jump(a, x)
		case ret:
			if in.Code == ret|acc {
				return a
			}
			return in.K
		case misc:
			if in.Code == misc|txa {
				a = x
			} else {
				x = a
			}
		}
	}
	return 0
}

// jump is how many instructions to skip.
func (in *Insn) jump(a, x uint32) int {
	k := in.K
	if in.Code&byX != 0 {
		k = x
	}
	yes := false
	switch in.Code & 0xf0 {
	case ja:
		return int(in.K)
	case jeq:
		yes = a == k
	case jgt:
		yes = a > k
	case jge:
		yes = a >= k
	case jset:
		yes = a&k != 0
	}
	if yes {
		return int(in.JT)
	}
	return int(in.JF)
}

func compute(op uint16, a, k uint32) uint32 {
	switch op {
	case add:
		return a + k
	case sub:
		return a - k
	case mul:
		return a * k
	case div:
		return a / k
	case mod:
		return a % k
	case or:
		return a | k
	case and:
		return a & k
	case xor:
		return a ^ k
	case lsh:
		return a << (k & 31)
	case rsh:
		return a >> (k & 31)
	}
	return -a
}

// load reads a word, half word or byte in network order.
func (m *Meta) load(d []byte, off uint32, code uint16) (uint32, bool) {
	switch {
	case off >= netOff:
		off -= netOff
	case off >= linkOff:
		if m.NoLink {
			return 0, false
		}
		if off -= linkOff; m.HasLink {
			return m.loadLink(d, off, code)
		}
	}
	n := uint64(4)
	switch code & 0x18 {
	case half:
		n = 2
	case byt:
		n = 1
	}
	if uint64(off)+n > uint64(len(d)) {
		return 0, false
	}
	switch d = d[off:]; n {
	case 4:
		return binary.BigEndian.Uint32(d), true
	case 2:
		return uint32(binary.BigEndian.Uint16(d)), true
	}
	return uint32(d[0]), true
}

// loadLink reads from the link header on.
func (m *Meta) loadLink(d []byte, off uint32, code uint16) (v uint32, ok bool) {
	n := uint32(4)
	switch code & 0x18 {
	case half:
		n = 2
	case byt:
		n = 1
	}
	if uint64(off)+uint64(n) > uint64(len(d)+len(m.Link)) {
		return 0, false
	}
	for i := off; i < off+n; i++ {
		b := byte(0)
		if i < uint32(len(m.Link)) {
			b = m.Link[i]
		} else {
			b = d[i-uint32(len(m.Link))]
		}
		v = v<<8 | uint32(b)
	}
	return v, true
}

// ancillary is what the packet is beside its bytes.
func (m *Meta) ancillary(what, a, x uint32) (uint32, bool) {
	switch what {
	case adProtocol:
		if m.IPv6 {
			return 0x86dd, true
		}
		return 0x0800, true
	case adPktType:
		return uint32(m.PktType), true
	case adIfIndex:
		return m.IfIndex, m.IfIndex != 0
	case adMark:
		return m.Mark, true
	case adXorX:
		return a ^ x, true
	case adRandom:
		if m.Rand != nil {
			return m.Rand.Uint32(), true
		}
	}
	return 0, true // one CPU
}

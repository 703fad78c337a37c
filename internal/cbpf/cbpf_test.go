package cbpf

import "testing"

func TestPrograms(t *testing.T) {
	d := []byte{0x45, 0, 0, 28, 0xab, 0xcd, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2, 0, 53, 0x20, 0}
	rv := Insn{Code: ret | acc}
	for _, c := range []struct {
		name string
		p    Program
		want uint32
	}{
		{"a constant", Program{{Code: ret, K: 7}}, 7},
		{"a byte", Program{{Code: ld | byt | abs, K: 9}, rv}, 17},
		{"a half word", Program{{Code: ld | half | abs, K: 4}, rv}, 0xabcd},
		{"a word at the end", Program{{Code: ld | word | abs, K: 20}, rv}, 0x00352000},
		{"a word behind the end ends with 0", Program{{Code: ld | word | abs, K: 21}, {Code: ret, K: 1}}, 0},
		{"the length", Program{{Code: ld | length}, rv}, 24},
		{"the header's length leads to the port", Program{{Code: ldx | byt | msh, K: 0}, {Code: ld | half | ind, K: 0}, rv}, 53},
		{"an index that wraps around", Program{{Code: ldx | imm, K: 0xffffffff}, {Code: ld | byt | ind, K: 10}, rv}, 17},
		{"memory", Program{{Code: ld | imm, K: 5}, {Code: st, K: 15}, {Code: ldx | mem, K: 15}, {Code: misc | txa}, rv}, 5},
		{"a taken jump", Program{{Code: ld | imm, K: 5}, {Code: jmp | jgt, JT: 1, K: 4}, {Code: ret, K: 1}, {Code: ret, K: 2}}, 2},
		{"a jump not taken", Program{{Code: ld | imm, K: 4}, {Code: jmp | jgt, JT: 1, K: 4}, {Code: ret, K: 1}, {Code: ret, K: 2}}, 1},
		{"division by X of zero ends with 0", Program{{Code: ld | imm, K: 4}, {Code: alu | div | byX}, {Code: ret, K: 1}}, 0},
		{"a shift by X counts its low five bits", Program{{Code: ldx | imm, K: 33}, {Code: ld | imm, K: 4}, {Code: alu | lsh | byX}, rv}, 8},
		{"negation", Program{{Code: ld | imm, K: 1}, {Code: alu | neg}, rv}, 0xffffffff},
		{"the mark", Program{{Code: ld | abs, K: adOff + adMark}, rv}, 9},
		{"the protocol", Program{{Code: ld | abs, K: adOff + adProtocol}, rv}, 0x800},
		{"no device ends with 0", Program{{Code: ld | abs, K: adOff + adIfIndex}, {Code: ret, K: 1}}, 0},
		{"bytes from the network header", Program{{Code: ld | byt | abs, K: netOff + 8}, rv}, 64},
	} {
		if err := c.p.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := c.p.Run(d, Meta{Mark: 9}); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Program{{Code: ld | length}, rv}.Run(d, Meta{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRefusedPrograms(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Program
		want error
	}{
		{"none", nil, ErrLength},
		{"too long", make(Program, MaxLen+1), ErrLength},
		{"no return", Program{{Code: ld | imm}}, errReturn},
		{"an unknown instruction", Program{{Code: 999}, {Code: ret}}, errCode},
		{"division by zero", Program{{Code: alu | div}, {Code: ret}}, errZero},
		{"a shift by 32", Program{{Code: alu | lsh, K: 32}, {Code: ret}}, errZero},
		{"a jump to the end", Program{{Code: jmp | ja, K: 1}, {Code: ret}}, errJump},
		{"a branch to the end", Program{{Code: jmp | jeq, JF: 1}, {Code: ret}}, errJump},
		{"a cell that is not there", Program{{Code: st, K: 16}, {Code: ret}}, errMemory},
		{"a cell that one way did not write", Program{{Code: jmp | jeq, JF: 1}, {Code: st, K: 3}, {Code: ld | mem, K: 3}, {Code: ret}}, errMemory},
		{"a netlink attribute", Program{{Code: ld | abs, K: adOff + 12}, {Code: ret}}, errOutside},
	} {
		if err := c.p.Check(); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A program that passed the check neither panics nor hangs.
func FuzzProgram(f *testing.F) {
	f.Add([]byte{0x30, 0, 0, 0, 9, 6, 0, 0, 0, 1}, []byte{0x45})
	f.Fuzz(func(t *testing.T, code, d []byte) {
		var p Program
		for ; len(code) >= 5; code = code[5:] {
			p = append(p, Insn{Code: uint16(code[0]), JT: code[1], JF: code[2], K: uint32(int8(code[3]))<<8 | uint32(code[4])})
		}
		if p.Check() == nil {
			p.Run(d, Meta{})
		}
	})
}

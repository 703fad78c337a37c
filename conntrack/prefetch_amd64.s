#include "textflag.h"

// func prefetch(first *uintptr, stride uintptr, n int)
TEXT ·prefetch(SB), NOSPLIT, $0-24
	MOVQ first+0(FP), AX
	MOVQ stride+8(FP), BX
	MOVQ n+16(FP), CX
	JMP  test
next:
	MOVQ (AX), DX
	PREFETCHT0 (DX)
	ADDQ BX, AX
	DECQ CX
test:
	TESTQ CX, CX
	JGT  next
	RET

// func prefetch3(first *[3]uintptr, stride uintptr, n int)
TEXT ·prefetch3(SB), NOSPLIT, $0-24
	MOVQ first+0(FP), AX
	MOVQ stride+8(FP), BX
	MOVQ n+16(FP), CX
	JMP  test
next:
	MOVQ (AX), DX
	PREFETCHT0 (DX)
	MOVQ 8(AX), DX
	PREFETCHT0 (DX)
	MOVQ 16(AX), DX
	PREFETCHT0 (DX)
	ADDQ BX, AX
	DECQ CX
test:
	TESTQ CX, CX
	JGT  next
	RET

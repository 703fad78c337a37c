#include "textflag.h"

// func prefetch(first *uintptr, stride uintptr, n int)
TEXT ·prefetch(SB), NOSPLIT, $0-24
	MOVD first+0(FP), R0
	MOVD stride+8(FP), R1
	MOVD n+16(FP), R2
	B    test
next:
	MOVD (R0), R3
	PRFM (R3), PLDL1KEEP
	ADD  R1, R0
	SUB  $1, R2
test:
	CMP  $0, R2
	BGT  next
	RET

// func prefetch3(first *[3]uintptr, stride uintptr, n int)
TEXT ·prefetch3(SB), NOSPLIT, $0-24
	MOVD first+0(FP), R0
	MOVD stride+8(FP), R1
	MOVD n+16(FP), R2
	B    test
next:
	MOVD (R0), R3
	PRFM (R3), PLDL1KEEP
	MOVD 8(R0), R3
	PRFM (R3), PLDL1KEEP
	MOVD 16(R0), R3
	PRFM (R3), PLDL1KEEP
	ADD  R1, R0
	SUB  $1, R2
test:
	CMP  $0, R2
	BGT  next
	RET

package conntrack

import "testing"

// TestChunkOf counts through the places of a growing slab: chunks begin where
// the one before ends.
func TestChunkOf(t *testing.T) {
	const small, many = 4, 32
	chunk, at := uint32(0), uint32(0)
	for i := range uint32(200) {
		if n, k := chunkOf(i, small, many); n != chunk || k != at {
			t.Fatalf("element %d: chunk %d place %d, want %d and %d", i, n, k, chunk, at)
		}
		at++
		if at == small && i < many || at == larger*small {
			chunk, at = chunk+1, 0
		}
	}
}

package jhash

import "testing"

// TestWords compares with what Linux 6.18 hashes: a SNAT range of nearly all
// addresses shows the hash of the four words of a source address.
func TestWords(t *testing.T) {
	for _, c := range []struct {
		name  string
		words []uint32
		seed  uint32
		want  uint32
	}{
		{"nothing", nil, 0, 0xdeadbeef},
		{"192.0.2.10", []uint32{0x0a0200c0, 0, 0, 0}, 0, 0xdf46fcaa},
		{"192.0.2.11", []uint32{0x0b0200c0, 0, 0, 0}, 0, 0xaea9a5b1},
		{"198.51.100.200", []uint32{0xc86433c6, 0, 0, 0}, 0, 0xb8e7917c},
		{"192.0.2.10 to 198.51.100.10", []uint32{0x0a0200c0, 0, 0, 0}, 0x0a6433c6, 0x0781e9ec},
		{"192.0.2.10 to 8.8.8.8", []uint32{0x0a0200c0, 0, 0, 0}, 0x08080808, 0x0cc0b86c},
		{"2001:db8:1::10", []uint32{0xb80d0120, 0x100, 0, 0x10000000}, 0, 0x6f6b851f},
		{"2001:db8:1:2:3:4:5:6", []uint32{0xb80d0120, 0x2000100, 0x4000300, 0x6000500}, 0, 0xe9b232ad},
		{"2001:db8:1:ffff:ffff:ffff:ffff:fffe", []uint32{0xb80d0120, 0xffff0100, 0xffffffff, 0xfeffffff}, 0, 0x3dda6566},
	} {
		if got := Words(c.words, c.seed); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

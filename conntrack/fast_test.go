package conntrack

import (
	"math/rand/v2"
	"testing"

	"weir/packet"
)

// TestSumOfTheShortWay compares the verification of checksums with that of the
// long way: every length, good checksums and wrong ones.
func TestSumOfTheShortWay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	good, bad := 0, 0
	for n := 28; n < 200; n++ {
		for i := range 64 {
			d := make([]byte, n)
			for at := range d {
				d[at] = byte(r.Uint32()) | -byte(i>>5) // half of them many ones
			}
			q := Probe{Data: d, Family: packet.IPv4, Proto: packet.UDP, L4: 20}
			d[0], d[9] = 0x45, packet.UDP
			if i&1 != 0 {
				if n < 48 {
					continue
				}
				q.Family, q.L4 = packet.IPv6, 40
				d[0], d[6] = 0x60, packet.UDP
			}
			if i&2 != 0 {
				if n < q.L4+20 {
					continue
				}
				q.Proto, d[9-3*(i&1)] = packet.TCP, packet.TCP
			}
			p := packet.Packet{Data: d, Family: q.Family, Proto: q.Proto, L4: q.L4}
			if p.FixL4Checksum(); i&4 != 0 {
				d[q.L4+r.IntN(n-q.L4)] ^= 1 << r.IntN(8)
			}
			want := packet.Fold(packet.Sum(d[q.L4:], packet.PseudoSum(p.Family, p.Src(), p.Dst(), p.Proto, n-q.L4))) == 0xffff
			if want {
				good++
			} else {
				bad++
			}
			if got := packet.PlainSumOK(q.Data, q.L4, q.Proto); got != want {
				t.Fatalf("%x: %v, the long way says %v", d, got, want)
			}
		}
	}
	if good < 1000 || bad < 1000 {
		t.Fatalf("only %d good and %d bad", good, bad)
	}
}

// TestLocateSplitsAsTheTableGrows: the number of a bucket without a jump is
// what the plain words of it say.
func TestLocateSplitsAsTheTableGrows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for mask := uint32(255); mask < 1<<12; mask = mask<<1 | 1 {
		for buckets := mask + 1; buckets <= 2*mask+1; buckets += 1 + r.Uint32N(9) {
			h := r.Uint64()
			n := uint32(h) & (mask<<1 | 1)
			if n >= buckets {
				n &= mask
			}
			divided := n&mask < buckets-mask-1
			tag := uint16(h >> tagShift(len32(mask, divided)))
			if gotN, gotTag := locate(h, buckets, mask); gotN != n || gotTag != tag {
				t.Fatalf("%x of %d buckets: bucket %d tag %x, want %d and %x", h, buckets, gotN, gotTag, n, tag)
			}
		}
	}
}

// len32 is how many bits of the hash the number of a bucket tells.
func len32(mask uint32, divided bool) (n int) {
	for ; mask != 0; mask >>= 1 {
		n++
	}
	if divided {
		n++
	}
	return n
}

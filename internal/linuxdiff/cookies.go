package linuxdiff

import (
	"encoding/binary"

	"weir/hook"
	"weir/internal/kernel"
	"weir/internal/wire"
)

// jar gives weir the kernel's cookies, of which nobody else knows the secret,
// and the kernel's clock of time stamps.
type jar struct {
	cookie, stamp uint32 // of the kernel's last SYN/ACK
	// moved and late are by how much the connection that stands in the table
	// already moves the sequence number and the time stamp of that SYN/ACK.
	moved, late uint32
	made        map[hook.Ends][]baked
}

// baked is by how much a cookie was ahead of the sequence number that it was
// made for, and the size that it stands for.
type baked struct{ ahead, size uint32 }

func (j *jar) Make(e *hook.Ends, seq, size uint32, _ int64) uint32 {
	j.made[*e] = append(j.made[*e], baked{j.cookie - seq, size})
	return j.cookie
}

// Check takes what is off by one for the next size, as the kernel's sum does.
func (j *jar) Check(e *hook.Ends, seq, cookie uint32, _ int64) (uint32, bool) {
	for _, b := range j.made[*e] {
		if size := cookie - seq - b.ahead + b.size; size < 4 {
			return size, true
		}
	}
	return 0, false
}

func (j *jar) Stamp(int64) uint32 { return j.stamp }

// learn looks for a SYN/ACK of the proxy's among what left the kernel.
func (j *jar) learn(out []kernel.Output) {
	for _, o := range out {
		v, ok := wire.Parse(o.Data)
		if !ok || v.Proto != wire.ProtoTCP || len(v.L4) < 20 || v.L4[13]&(wire.SYN|wire.ACK) != wire.SYN|wire.ACK {
			continue
		}
		j.cookie = binary.BigEndian.Uint32(v.L4[4:]) - j.moved
		if at := stampAt(v.L4); at > 0 {
			j.stamp = binary.BigEndian.Uint32(v.L4[at:]) + j.late
		}
	}
}

// observe learns what the kernel's answer to a packet gives away: tb is weir's
// table, which knows by how much sequence numbers are moved.
func (j *jar) observe(s *subject, in []byte, out []kernel.Output) {
	v, ok := wire.Parse(in)
	if !ok || v.Proto != wire.ProtoTCP || len(v.L4) < 20 || v.L4[13]&(wire.SYN|wire.ACK) != wire.SYN {
		return
	}
	j.moved, j.late = 0, 0
	tb := s.m.Conntrack()
	sport, dport := v.Ports()
	back := tupleFor(kernel.Tuple{Src: v.Dst, Dst: v.Src, Proto: wire.ProtoTCP, SrcPort: dport, DstPort: sport})
	if c, d := tb.Lookup(&back, s.now); c != nil && tb.SynProxy(c) != nil {
		j.moved, j.late = tb.SeqOffset(c, d, 0), tb.SynProxy(c).Offset
	}
	j.learn(out)
}

// follow takes the kernel's choices from what a packet caused there.
func (s *subject) follow(in []byte, res *kernel.Result) {
	s.steer.follow(res.Events)
	s.jar.observe(s, in, res.Out)
}

// stampAt is where the value of the time stamp stands in a TCP header, 0
// without.
func stampAt(h []byte) int {
	for i := 20; i+1 < len(h) && i < int(h[12]>>4)*4; {
		switch {
		case h[i] == 0:
			return 0
		case h[i] == 1:
			i++
		case h[i] == 8:
			return i + 2
		case h[i+1] < 2:
			return 0
		default:
			i += int(h[i+1])
		}
	}
	return 0
}

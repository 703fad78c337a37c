package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// verify checks what a gateway made of a packet. With nat it must have been
// masqueraded; the port that it got is returned for packets outward.
func verify(f *Flow, w Way, in, out []byte, nat bool, port uint16) (uint16, error) {
	bad := func(what string, args ...any) (uint16, error) {
		return 0, fmt.Errorf("wrong output: "+what, args...)
	}
	if len(out) != packetLen {
		return bad("%d bytes instead of %d", len(out), packetLen)
	}
	if fold(sum(out[:20])) != 0xffff {
		return bad("IP header checksum")
	}
	if fold(sum(out[12:])+uint64(out[9])+packetLen-20) != 0xffff {
		return bad("transport checksum")
	}
	if out[8] != in[8]-1 {
		return bad("TTL %d after %d", out[8], in[8])
	}
	src, dst := binary.BigEndian.Uint32(out[12:]), binary.BigEndian.Uint32(out[16:])
	sport, dport := binary.BigEndian.Uint16(out[20:]), binary.BigEndian.Uint16(out[22:])
	body := 28
	if f.TCP {
		body = 40
		if !bytes.Equal(in[24:36], out[24:36]) {
			return bad("TCP header changed")
		}
	}
	if !bytes.Equal(in[body:], out[body:]) {
		return bad("payload changed")
	}
	if w == Outward {
		want := f.Client
		if nat {
			want = wanAddr
		}
		if src != want || dst != f.Server || dport != f.ServerPort {
			return bad("addresses %08x:%d > %08x:%d", src, sport, dst, dport)
		}
		if sport < 1024 || (!nat && sport != f.ClientPort) {
			return bad("source port %d", sport)
		}
		return sport, nil
	}
	if src != f.Server || dst != f.Client || sport != f.ServerPort || dport != f.ClientPort {
		return bad("reply %08x:%d > %08x:%d", src, sport, dst, dport)
	}
	return port, nil
}

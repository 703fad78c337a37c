//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"os"
)

// Directions of a packet, as the flags word of an enhanced packet block has them.
const (
	inbound  = 1
	outbound = 2
)

// pcapngFile writes Ethernet frames with nanosecond time stamps. The first
// failure sticks and close returns it.
type pcapngFile struct {
	file *os.File
	w    *bufio.Writer
}

// option is one pcapng option; value is padded when written.
type option struct {
	code  uint16
	value []byte
}

// createPcapng starts a capture whose interface blocks carry names, in that
// order: a frame names its interface by the place in names.
func createPcapng(path string, names []string) (*pcapngFile, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	p := &pcapngFile{file: f, w: bufio.NewWriter(f)}
	header := binary.LittleEndian.AppendUint32(nil, 0x1a2b3c4d) // byte order
	header = binary.LittleEndian.AppendUint16(header, 1)        // version 1.0
	header = binary.LittleEndian.AppendUint16(header, 0)
	header = binary.LittleEndian.AppendUint64(header, ^uint64(0)) // section length unknown
	p.block(0x0a0d0d0a, header, nil)
	for _, name := range names {
		body := binary.LittleEndian.AppendUint16(nil, 1) // EN10MB
		body = binary.LittleEndian.AppendUint16(body, 0)
		body = binary.LittleEndian.AppendUint32(body, 0) // no snap length
		p.block(1, body, []option{
			{2, []byte(name)}, // if_name
			{9, []byte{9}},    // if_tsresol: nanoseconds
		})
	}
	return p, nil
}

// packet adds one frame. ns counts nanoseconds since 1970; comment may be empty.
func (p *pcapngFile) packet(iface int, ns int64, frame []byte, direction uint32, comment string) {
	body := binary.LittleEndian.AppendUint32(nil, uint32(iface))
	body = binary.LittleEndian.AppendUint32(body, uint32(uint64(ns)>>32))
	body = binary.LittleEndian.AppendUint32(body, uint32(ns))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(frame)))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(frame)))
	body = pad(append(body, frame...))
	options := []option{{2, binary.LittleEndian.AppendUint32(nil, direction)}} // epb_flags
	if comment != "" {
		options = append(options, option{1, []byte(comment)})
	}
	p.block(6, body, options)
}

func (p *pcapngFile) block(kind uint32, body []byte, options []option) {
	for _, o := range options {
		body = binary.LittleEndian.AppendUint16(body, o.code)
		body = binary.LittleEndian.AppendUint16(body, uint16(len(o.value)))
		body = pad(append(body, o.value...))
	}
	if len(options) > 0 {
		body = append(body, 0, 0, 0, 0) // opt_endofopt
	}
	total := uint32(len(body) + 12)
	head := binary.LittleEndian.AppendUint32(nil, kind)
	head = binary.LittleEndian.AppendUint32(head, total)
	p.w.Write(head) // bufio keeps the first error for Flush
	p.w.Write(body)
	p.w.Write(binary.LittleEndian.AppendUint32(nil, total))
}

func (p *pcapngFile) close() error {
	if err := p.w.Flush(); err != nil {
		p.file.Close()
		return err
	}
	return p.file.Close()
}

// pad fills up to a multiple of four bytes. Block bodies start aligned, so
// the length of the body so far decides.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

package capture

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
)

// Link types of captures (LINKTYPE_*, https://www.tcpdump.org/linktypes.html).
const (
	LinkNull  = 0
	LinkEther = 1
	LinkRaw   = 101
	LinkLoop  = 108
	LinkSLL   = 113
	LinkIPv4  = 228
	LinkIPv6  = 229
	LinkSLL2  = 276
)

// Record is one frame of a capture.
type Record struct {
	// N counts every record of the file from 1.
	N int
	// Time is nanoseconds since the Unix epoch.
	Time int64
	// LinkType says how Data begins.
	LinkType uint16
	// IfName is the name of the interface if the file has one (pcapng).
	IfName string
	// Dir and Reception are what the pcapng packet flags say.
	Dir       Direction
	Reception Reception
	// Data is the frame as captured, valid until the next call of Next.
	Data []byte
	// OrigLen is the length of the frame on the wire; more than len(Data)
	// when the capture cut it off.
	OrigLen int
}

// Direction is which way a captured frame went.
type Direction uint8

// The directions of the pcapng flags word.
const (
	DirUnknown Direction = iota
	Inbound
	Outbound
)

// Reception is how a captured frame was addressed.
type Reception uint8

// The reception types of the pcapng flags word.
const (
	ReceptionUnknown Reception = iota
	Unicast
	MulticastFrame
	BroadcastFrame
	Promiscuous
)

// Error is a complaint about a capture. N is the number of the packet that
// could not be read, 0 when the file header is at fault.
type Error struct {
	File string
	N    int
	Msg  string
}

// Error is "file: packet N: message".
func (e *Error) Error() string {
	if e.N == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s: packet %d: %s", e.File, e.N, e.Msg)
}

// Reader reads a capture of either format, gzipped or not.
type Reader struct {
	file   string
	src    *source
	order  binary.ByteOrder
	big    bool
	ng     bool
	n      int
	failed error

	// pcap
	link  uint16
	nanos bool

	// pcapng, of the current section
	ifs  []ngIface
	last int64 // time of the packet before, for packets that have none
}

// NewReader reads the file header. name is what errors call the file.
func NewReader(r io.Reader, name string) (*Reader, error) {
	br := bufio.NewReader(r)
	if m, err := br.Peek(2); err == nil && m[0] == 0x1f && m[1] == 0x8b {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, &Error{name, 0, "gzip: " + err.Error()}
		}
		r = z
	} else {
		r = br
	}
	c := &Reader{file: name, src: newSource(r), order: binary.LittleEndian}
	m, err := c.src.peek(4)
	if err != nil {
		if err == io.EOF {
			return nil, &Error{name, 0, "the file is empty"}
		}
		if err == errShort {
			return nil, &Error{name, 0, "too short to be a capture"}
		}
		return nil, &Error{name, 0, err.Error()}
	}
	switch binary.LittleEndian.Uint32(m) {
	case ngSection:
		c.ng = true
		return c, nil
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		c.nanos = true
	case 0xd4c3b2a1:
		c.setOrder(true)
	case 0x4d3cb2a1:
		c.setOrder(true)
		c.nanos = true
	default:
		return nil, &Error{name, 0, "neither pcap nor pcapng"}
	}
	return c, c.pcapHeader()
}

func (c *Reader) setOrder(big bool) {
	c.big = big
	c.order = binary.LittleEndian
	if big {
		c.order = binary.BigEndian
	}
}

func (c *Reader) u32(b []byte) uint32 {
	if c.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (c *Reader) u16(b []byte) uint16 {
	if c.big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (c *Reader) pcapHeader() error {
	h, err := c.src.peek(24)
	if err != nil {
		return &Error{c.file, 0, "the file header is cut off"}
	}
	if v := c.u16(h[4:]); v != 2 {
		return &Error{c.file, 0, fmt.Sprintf("pcap version %d is not known", v)}
	}
	// The upper half holds flags about the frame check sequence.
	c.link = uint16(c.u32(h[20:]) & 0xffff)
	c.src.skip(24)
	return nil
}

// Next reads the next frame into r. io.EOF is the end; any other error is an
// *Error and final.
func (c *Reader) Next(r *Record) error {
	if c.failed != nil {
		return c.failed
	}
	var err error
	if c.ng {
		err = c.nextNg(r)
	} else {
		err = c.nextPcap(r)
	}
	if err != nil {
		c.failed = err
	}
	return err
}

// Count is the number of frames read so far.
func (c *Reader) Count() int { return c.n }

// Offset is the number of bytes consumed so far, after decompression.
func (c *Reader) Offset() int64 { return c.src.off }

// fail describes why the packet behind the last one could not be read.
func (c *Reader) fail(format string, args ...any) error {
	return &Error{c.file, c.n + 1, fmt.Sprintf(format, args...)}
}

// cut turns an error of peek into one with a packet number.
func (c *Reader) cut(err error, what string) error {
	if err == errShort || err == io.EOF {
		return c.fail("the capture ends in the middle of %s", what)
	}
	if err == io.ErrUnexpectedEOF {
		return c.fail("the gzip file is cut off")
	}
	return c.fail("%v", err)
}

func (c *Reader) nextPcap(r *Record) error {
	h, err := c.src.peek(16)
	if err != nil {
		if err == io.EOF {
			return err
		}
		return c.cut(err, "a packet header")
	}
	caplen, orig := int(c.u32(h[8:])), int(c.u32(h[12:]))
	if caplen > maxRecord {
		return c.fail("a length of %d bytes cannot be", caplen)
	}
	sec, frac := int64(c.u32(h)), int64(c.u32(h[4:]))
	if !c.nanos {
		frac *= 1000
	}
	d, err := c.src.peek(16 + caplen)
	if err != nil {
		return c.cut(err, fmt.Sprintf("a packet of %d bytes", caplen))
	}
	c.src.skip(16 + caplen)
	c.n++
	*r = Record{N: c.n, Time: sec*1e9 + frac, LinkType: c.link, Data: d[16 : 16+caplen : 16+caplen], OrigLen: orig}
	return nil
}

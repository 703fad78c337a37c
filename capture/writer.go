package capture

import (
	"encoding/binary"
	"io"
	"math/bits"
	"slices"
)

// Writer writes pcapng: one section, one interface for each name, IP packets
// (LINKTYPE_RAW) with nanosecond times. The same calls write the same bytes.
type Writer struct {
	w      io.Writer
	ids    map[string]uint32
	recent [2]numbered // interfaces, of the last packets
	buf    []byte
	err    error
}

// numbered is an interface and its number in the file.
type numbered struct {
	name string
	id   uint32
}

// NewWriter writes the section header.
func NewWriter(w io.Writer) (*Writer, error) {
	c := &Writer{w: w, ids: map[string]uint32{}}
	c.begin(ngSection)
	c.put32(ngByteMagic)
	c.put16(1)
	c.put16(0)
	c.put32(0xffffffff) // section length: not known
	c.put32(0xffffffff)
	c.option(4, []byte("weir")) // shb_userappl
	c.endOptions()
	c.end()
	return c, c.err
}

func (c *Writer) put16(v uint16) { c.buf = binary.LittleEndian.AppendUint16(c.buf, v) }
func (c *Writer) put32(v uint32) { c.buf = binary.LittleEndian.AppendUint32(c.buf, v) }

func (c *Writer) begin(typ uint32) {
	c.buf = c.buf[:0]
	c.put32(typ)
	c.put32(0)
}

func (c *Writer) pad() {
	for len(c.buf)%4 != 0 {
		c.buf = append(c.buf, 0)
	}
}

func (c *Writer) option(code uint16, v []byte) {
	c.put16(code)
	c.put16(uint16(len(v)))
	c.buf = append(c.buf, v...)
	c.pad()
}

func (c *Writer) endOptions() { c.put32(0) }

func (c *Writer) end() {
	n := uint32(len(c.buf) + 4)
	c.put32(n)
	binary.LittleEndian.PutUint32(c.buf[4:], n)
	if c.err == nil {
		_, c.err = c.w.Write(c.buf)
	}
}

// Interface announces an interface, so that it is in the file even if no
// packet uses it. Announcing twice does nothing.
func (c *Writer) Interface(name string) error {
	if _, ok := c.ids[name]; ok {
		return c.err
	}
	c.ids[name] = uint32(len(c.ids))
	c.begin(ngIfaceDesc)
	c.put16(LinkRaw)
	c.put16(0)
	c.put32(0) // no snapshot length
	c.option(optIfName, []byte(name))
	c.option(optTsResol, []byte{9})
	c.endOptions()
	c.end()
	return c.err
}

// Packet writes an IP packet that passed the named interface at a time in
// nanoseconds since the epoch, with a comment unless that is empty. Comments
// beyond 65,535 bytes are cut.
func (c *Writer) Packet(name string, time int64, data []byte, comment string) error {
	return c.Part(name, time, data, len(data), comment)
}

// Part is Packet for the beginning of a packet that has length bytes.
func (c *Writer) Part(name string, time int64, data []byte, length int, comment string) error {
	id, err := c.number(name)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	c.buf = slices.Grow(c.buf[:0], 32+len(data))[:28]
	le.PutUint64(c.buf, ngEnhanced)
	le.PutUint32(c.buf[8:], id)
	le.PutUint64(c.buf[12:], bits.RotateLeft64(uint64(time), 32))
	le.PutUint64(c.buf[20:], uint64(uint32(max(length, len(data))))<<32|uint64(uint32(len(data))))
	c.buf = append(c.buf, data...)
	c.pad()
	if comment != "" {
		c.option(optComment, []byte(comment[:min(len(comment), 65535)]))
		c.endOptions()
	}
	c.end()
	return c.err
}

// number is the number of an interface, which it announces if need be.
func (c *Writer) number(name string) (uint32, error) {
	for i := range c.recent {
		if r := &c.recent[i]; r.name == name && name != "" {
			return r.id, c.err
		}
	}
	if err := c.Interface(name); err != nil {
		return 0, err
	}
	id := c.ids[name]
	c.recent[1], c.recent[0] = c.recent[0], numbered{name, id}
	return id, nil
}

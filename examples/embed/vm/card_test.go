package vm_test

import (
	"encoding/binary"
	"io"
	"net"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// card is the network card of the virtual machine: frames of gVisor's on the
// stream.
type card struct {
	*channel.Endpoint
	conn net.Conn
}

func newCard(conn net.Conn, mac tcpip.LinkAddress) *card {
	c := &card{channel.New(256, 1514, mac), conn}
	c.AddNotify(c)
	go c.receive()
	return c
}

// WriteNotify sends what the stack has written.
func (c *card) WriteNotify() {
	for p := c.Read(); p != nil; p = c.Read() {
		v := p.ToView()
		f := v.AsSlice()
		c.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...))
		v.Release()
		p.DecRef()
	}
}

func (c *card) receive() {
	for {
		var n [4]byte
		if _, err := io.ReadFull(c.conn, n[:]); err != nil {
			return
		}
		f := make([]byte, binary.BigEndian.Uint32(n[:]))
		if _, err := io.ReadFull(c.conn, f); err != nil {
			return
		}
		p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(f)})
		c.InjectInbound(0, p) // the Ethernet layer above reads the header
		p.DecRef()
	}
}

package gateway

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// What is said on the socket: the successor sends takeoverAsk; the predecessor
// answers with takeoverHere and the descriptors, then the length of a JSON list
// of what they are, the list, the length of the snapshot, and the snapshot.
const (
	takeoverAsk  = 't'
	takeoverHere = 'h'

	takeoverWait    = 10 * time.Second
	takeoverMaxList = 1 << 20
	takeoverMaxSnap = 1 << 36
)

// passedDevice is a device in the list.
type passedDevice struct {
	Iface, Kind, Device string
	Files               int
}

// awaitSuccessor lets another process take the devices and the connections,
// and reports on done when one has.
func (g *Gateway) awaitSuccessor(l net.Listener, done chan<- struct{}) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		u, ok := c.(*net.UnixConn)
		if !ok {
			c.Close()
			continue
		}
		_ = u.SetDeadline(time.Now().Add(takeoverWait))
		var b [1]byte
		if _, err := io.ReadFull(u, b[:]); err != nil || b[0] != takeoverAsk {
			u.Close()
			continue
		}
		if err := g.handOver(u); err != nil {
			u.Close()
			g.log.Error("not handed over", "error", err)
			continue
		}
		g.successor = u // which sees by its end that this process is gone
		close(done)
		return
	}
}

// handOver stops carrying packets and gives everything away, or goes on.
func (g *Gateway) handOver(c *net.UnixConn) error {
	g.snap = g.eng.AppendSnapshot(g.snap[:0], g.clock()) // so that there is room
	g.handed.Store(true)
	for _, p := range g.ports {
		_ = p.stop()
	}
	g.running.Wait()
	err := g.give(c)
	if err == nil {
		g.log.Info("handed over")
		return nil
	}
	g.handed.Store(false)
	for _, p := range g.ports {
		p.resume()
	}
	return err
}

func (g *Gateway) give(c *net.UnixConn) error {
	var list []passedDevice
	var files []*os.File
	for _, p := range g.ports {
		p.mu.Lock()
		if p.dev != nil && p.given == nil {
			if fs, ok := Files(p.dev); ok {
				list = append(list, passedDevice{p.name, string(p.link.Kind), p.link.Device, len(fs)})
				files = append(files, fs...)
			}
		}
		p.mu.Unlock()
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := SendFiles(c, []byte{takeoverHere}, files); err != nil {
		return err
	}
	g.snap = g.eng.AppendSnapshot(g.snap[:0], g.clock())
	var n [8]byte
	for _, b := range [][]byte{text, g.snap} {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		if _, err := c.Write(n[:]); err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// takeOver asks a predecessor for its devices and connections.
func (g *Gateway) takeOver(c *net.UnixConn) error {
	_ = c.SetDeadline(time.Now().Add(takeoverWait))
	if _, err := c.Write([]byte{takeoverAsk}); err != nil {
		return err
	}
	msg, files, err := ReceiveFiles(c)
	if err != nil {
		return err
	}
	if len(msg) != 1 || msg[0] != takeoverHere {
		return errors.New("not an answer of weir")
	}
	text, err := readPart(c, takeoverMaxList)
	if err != nil {
		return err
	}
	var list []passedDevice
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	snap, err := readPart(c, takeoverMaxSnap)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Files < 0 || d.Files > len(files) {
			return errors.New("descriptors are missing")
		}
		mine := files[:d.Files]
		files = files[d.Files:]
		if err := g.adopt(d, mine); err != nil {
			return err
		}
	}
	if err := g.eng.LoadSnapshot(snap); err != nil {
		g.log.Error("the connections were not taken over", "error", err)
	}
	g.log.Info("taken over", "devices", len(list), "connections", g.eng.Conntrack().Len())
	_ = c.SetDeadline(time.Time{})
	return nil
}

func (g *Gateway) adopt(d passedDevice, files []*os.File) error {
	for _, p := range g.ports {
		if p.name != d.Iface || string(p.link.Kind) != d.Kind || p.link.Device != d.Device || p.given != nil {
			continue
		}
		l := p.link
		if i := p.iface.Load(); !p.local {
			l.Iface = i
		}
		dev, err := Adopt(l, files)
		p.adopted = dev
		return err
	}
	for _, f := range files {
		f.Close() // the machine has no such link any more
	}
	return nil
}

// readPart reads a length and as many bytes.
func readPart(c io.Reader, most uint64) ([]byte, error) {
	var n [8]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return nil, err
	}
	k := binary.BigEndian.Uint64(n[:])
	if k > most {
		return nil, fmt.Errorf("%d bytes are too many", k)
	}
	b := make([]byte, k)
	_, err := io.ReadFull(c, b)
	return b, err
}

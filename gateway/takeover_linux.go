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

	"weir/conntrack"
)

// What is said on the socket: the successor sends takeoverAsk; the predecessor
// answers with takeoverHere and the descriptors, then a JSON list of what they
// are, then rounds of the connections (conntrack.Rounds), each of which the
// successor confirms when it has read it. The last one comes when the
// predecessor has stopped; a successor that finds it wrong says so, and is sent
// a whole snapshot. List, rounds and snapshot have their length in front.
const (
	takeoverAsk   = 'r'
	takeoverHere  = 'h'
	takeoverRead  = 'a'
	takeoverWrong = 'w'

	takeoverWait    = 10 * time.Second
	takeoverMaxList = 1 << 20
	takeoverMaxSnap = 1 << 36

	// The predecessor stops when a round has so few connections, or not less
	// than half of those of the round before, or after so many rounds.
	takeoverFew    = 500
	takeoverRounds = 8
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

// handOver gives everything away, or goes on. Packets flow for most of it.
func (g *Gateway) handOver(c *net.UnixConn) error {
	if err := g.giveDevices(c); err != nil {
		return err
	}
	rounds := g.eng.Conntrack().Rounds()
	for n, before := 0, -1; ; n++ {
		changed, _, err := g.giveRound(c, rounds, false)
		if err != nil {
			return err
		}
		if changed < takeoverFew || before >= 0 && changed > before/2 || n == takeoverRounds {
			break
		}
		before = changed
	}
	stopped := time.Now()
	g.handed.Store(true)
	for _, p := range g.ports {
		_ = p.stop()
	}
	g.running.Wait()
	changed, right, err := g.giveRound(c, rounds, true)
	if err == nil && !right {
		g.log.Warn("the connections are handed over once more")
		g.snap = g.eng.AppendSnapshot(g.snap[:0], g.clock())
		right, err = givePart(c, g.snap)
		if err == nil && !right {
			err = errors.New("the successor cannot read the connections")
		}
	}
	g.snap = nil
	if err == nil {
		g.log.Info("handed over", "after", time.Since(stopped), "changed", changed)
		return nil
	}
	g.handed.Store(false)
	for _, p := range g.ports {
		p.resume()
	}
	return err
}

// giveDevices sends the descriptors, which both processes have from then on.
func (g *Gateway) giveDevices(c *net.UnixConn) error {
	var list []passedDevice
	var files []int
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
	return writePart(c, text)
}

// giveRound sends a round and waits until it is read; right is what the
// successor says of it.
func (g *Gateway) giveRound(c *net.UnixConn, r *conntrack.Rounds, last bool) (changed int, right bool, err error) {
	g.snap, changed = g.eng.AppendRound(g.snap[:0], r, g.clock(), last)
	right, err = givePart(c, g.snap)
	if err == nil && !right && !last {
		err = errors.New("the successor cannot read the connections")
	}
	return changed, right, err
}

// givePart sends a part and waits for what is said of it.
func givePart(c *net.UnixConn, b []byte) (right bool, err error) {
	if err := writePart(c, b); err != nil {
		return false, err
	}
	var said [1]byte
	if _, err := io.ReadFull(c, said[:]); err != nil {
		return false, err
	}
	return said[0] == takeoverRead, nil
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
	if err := g.takeConnections(c); err != nil {
		return err
	}
	g.log.Info("taken over", "devices", len(list), "connections", g.eng.Conntrack().Len())
	_ = c.SetDeadline(time.Time{})
	return nil
}

// takeConnections reads rounds until the last one.
func (g *Gateway) takeConnections(c *net.UnixConn) error {
	say := func(b byte) error { _, err := c.Write([]byte{b}); return err }
	// The wall clock may have been set since the predecessor began. What
	// the first round took to come is little beside a timeout.
	var apart *int64
	shift := func(written int64) int64 {
		if apart == nil {
			d := g.clock() - written
			apart = &d
		}
		return *apart
	}
	l := g.eng.Conntrack().Loading()
	l.Shift = shift
	for {
		b, err := readPart(c, takeoverMaxSnap)
		if err != nil {
			return err
		}
		over, err := g.eng.LoadRound(l, b)
		switch {
		case errors.Is(err, conntrack.ErrSnapshotApart):
			if err := say(takeoverWrong); err != nil {
				return err
			}
			g.eng.Do(func() { l = l.Abandon(g.clock()) })
			if b, err = readPart(c, takeoverMaxSnap); err != nil {
				return err
			}
			if err := g.eng.LoadSnapshot(b, shift); err != nil {
				_ = say(takeoverWrong)
				return err
			}
			return say(takeoverRead)
		case err != nil:
			_ = say(takeoverWrong)
			return err
		}
		if err := say(takeoverRead); err != nil || over {
			return err
		}
	}
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

// writePart writes a length and as many bytes.
func writePart(c *net.UnixConn, b []byte) error {
	_ = c.SetDeadline(time.Now().Add(takeoverWait))
	n := binary.BigEndian.AppendUint64(nil, uint64(len(b)))
	if _, err := c.Write(n); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

// readPart reads a length and as many bytes.
func readPart(c *net.UnixConn, most uint64) ([]byte, error) {
	_ = c.SetDeadline(time.Now().Add(takeoverWait))
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

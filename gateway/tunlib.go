package gateway

import (
	"errors"
	"os"
	"sync"
)

// tunLib is what golang.zx2c4.com/wireguard/tun has for a TUN device, on
// systems where weir has no own way.
type tunLib interface {
	Read(bufs [][]byte, sizes []int, offset int) (n int, err error)
	Write(bufs [][]byte, offset int) (int, error)
	MTU() (int, error)
	Name() (string, error)
	Close() error
	BatchSize() int
}

// libDev is a device of the library, with one queue and no offloads. A
// goroutine of its own reads, since a Read of the library ends only with Close.
type libDev struct {
	dev  tunLib
	name string
	mtu  int
	full chan libBatch // what was read
	free chan libBatch // to read into
	held *libBatch     // what the last Read handed out
	stop chan struct{} // closed by Stop
	gone chan struct{} // closed by Close
	once [2]sync.Once

	writing sync.Mutex
	out     [1][]byte
}

// libBatch is packets that were read together.
type libBatch struct {
	bufs  [][]byte
	sizes []int
	n     int
	err   error
}

// libOffset is what the library wants free in front of a packet.
const libOffset = 16

// newLibDev makes a Device of one of the library.
func newLibDev(t tunLib) (*libDev, error) {
	d := &libDev{dev: t, full: make(chan libBatch), free: make(chan libBatch, 2), stop: make(chan struct{}), gone: make(chan struct{})}
	var err error
	if d.name, err = t.Name(); err == nil {
		d.mtu, err = t.MTU()
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	n := max(t.BatchSize(), 1)
	for range cap(d.free) {
		b := libBatch{sizes: make([]int, n)}
		for range n {
			b.bufs = append(b.bufs, make([]byte, libOffset+maxPacket))
		}
		d.free <- b
	}
	return d, nil
}

// pump reads until the device is closed.
func (d *libDev) pump() {
	for {
		var b libBatch
		select {
		case b = <-d.free:
		case <-d.gone:
			return
		}
		b.n, b.err = d.dev.Read(b.bufs, b.sizes, libOffset)
		select {
		case d.full <- b:
		case <-d.gone:
			return
		}
		if b.err != nil {
			return
		}
	}
}

func (d *libDev) Name() string    { return d.name }
func (d *libDev) MTU() int        { return d.mtu }
func (d *libDev) Offloads() bool  { return false }
func (d *libDev) Queues() []Queue { return []Queue{d} }

// Up begins to read: the system has switched the device on when it was made.
func (d *libDev) Up() error {
	go d.pump()
	return nil
}

func (d *libDev) Stop() error {
	d.once[0].Do(func() { close(d.stop) })
	return nil
}

func (d *libDev) Close() (err error) {
	_ = d.Stop()
	d.once[1].Do(func() {
		close(d.gone)
		err = d.dev.Close()
	})
	return err
}

// Read implements Queue.
func (d *libDev) Read(batch []Packet) (n int, err error) {
	if d.held != nil {
		d.free <- *d.held
		d.held = nil
	}
	for n == 0 {
		var b libBatch
		select {
		case <-d.stop:
			return 0, ErrClosed
		case b = <-d.full:
		}
		if b.err != nil {
			if errors.Is(b.err, os.ErrClosed) {
				return 0, ErrClosed
			}
			return 0, b.err
		}
		for i := range min(b.n, len(batch)) {
			if k := b.sizes[i]; k > 0 {
				batch[n] = Packet{Data: b.bufs[i][libOffset : libOffset+k]}
				n++
			}
		}
		if n == 0 {
			d.free <- b
			continue
		}
		d.held = &b
	}
	return n, nil
}

// Write implements Queue.
func (d *libDev) Write(batch []Packet) (n int, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	for i := range batch { // one at a time: of several the library does not say what was lost
		d.out[0] = append(append(d.out[0][:0], make([]byte, libOffset)...), batch[i].Data...)
		_, e := d.dev.Write(d.out[:], libOffset)
		switch {
		case e == nil:
			n++
		case errors.Is(e, os.ErrClosed):
			return n, ErrClosed
		case err == nil:
			err = e
		}
	}
	return n, err
}

// Package wireguard puts weir between a WireGuard tunnel and the world: what
// peers send comes out of wireguard-go and goes through weir's rules and NAT
// before it gets anywhere, and without a TUN device of the system.
package wireguard

import (
	"errors"
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"

	"weir/gateway"
)

// TUN is the tun.Device of wireguard-go on one end of a link in memory, whose
// other end is an interface of a gateway.
type TUN struct {
	end    *gateway.End
	events chan tun.Event
	batch  []gateway.Packet // of Read, which one goroutine calls
	once   sync.Once
}

// batchSize is how many packets Read and Write take at once.
const batchSize = 64

// New makes the TUN of an end.
func New(end *gateway.End) *TUN {
	t := &TUN{end: end, events: make(chan tun.Event, 1), batch: make([]gateway.Packet, batchSize)}
	t.events <- tun.EventUp
	return t
}

// Read takes what goes into the tunnel.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := t.end.Read(t.batch[:min(len(bufs), batchSize)])
	if errors.Is(err, gateway.ErrClosed) {
		return 0, os.ErrClosed
	}
	for i := range n {
		sizes[i] = copy(bufs[i][offset:], t.batch[i].Data)
	}
	return n, err
}

// Write takes what came out of the tunnel. What weir's queue has no room for
// is lost, as on any link.
func (t *TUN) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		if _, err := t.end.Write([]gateway.Packet{{Data: b[offset:]}}); errors.Is(err, gateway.ErrClosed) {
			return 0, os.ErrClosed
		}
	}
	return len(bufs), nil
}

// Close ends the link.
func (t *TUN) Close() error {
	t.once.Do(func() { close(t.events) })
	return t.end.Close()
}

// File is nil: there is no device of the system.
func (t *TUN) File() *os.File { return nil }

// MTU is the link's.
func (t *TUN) MTU() (int, error) { return t.end.MTU(), nil }

// Name is the end's.
func (t *TUN) Name() (string, error) { return t.end.Name(), nil }

// Events tells that the device is up.
func (t *TUN) Events() <-chan tun.Event { return t.events }

// BatchSize is how many packets go at once.
func (t *TUN) BatchSize() int { return batchSize }

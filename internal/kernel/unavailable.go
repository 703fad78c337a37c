//go:build !linux

package kernel

import (
	"net/netip"
	"time"
)

// Kernel cannot be made on this system.
type Kernel struct{}

// New returns ErrUnavailable.
func New(Config) (*Kernel, error) { return nil, ErrUnavailable }

// Inject returns ErrUnavailable.
func (*Kernel) Inject(string, []byte) (Result, error) { return Result{}, ErrUnavailable }

// InjectFrame returns ErrUnavailable.
func (*Kernel) InjectFrame(string, [6]byte, [6]byte, []byte) (Result, error) {
	return Result{}, ErrUnavailable
}

// Hold returns ErrUnavailable.
func (*Kernel) Hold(uint16) error { return ErrUnavailable }

// Held returns ErrUnavailable.
func (*Kernel) Held() ([]uint32, error) { return nil, ErrUnavailable }

// Release returns ErrUnavailable.
func (*Kernel) Release(uint32) (Result, error) { return Result{}, ErrUnavailable }

// Pending returns ErrUnavailable.
func (*Kernel) Pending() (Result, error) { return Result{}, ErrUnavailable }

// Down returns ErrUnavailable.
func (*Kernel) Down(string) error { return ErrUnavailable }

// RemoveAddress returns ErrUnavailable.
func (*Kernel) RemoveAddress(string, netip.Prefix) error { return ErrUnavailable }

// RemoveRoute returns ErrUnavailable.
func (*Kernel) RemoveRoute(Route) error { return ErrUnavailable }

// Program returns ErrUnavailable.
func (*Kernel) Program(string, string, ...string) (string, string, int, error) {
	return "", "", 0, ErrUnavailable
}

// Start returns ErrUnavailable.
func (*Kernel) Start(string, ...string) (func() (string, error), error) { return nil, ErrUnavailable }

// Expects returns ErrUnavailable.
func (*Kernel) Expects() ([]Expect, error) { return nil, ErrUnavailable }

// SNMP returns ErrUnavailable.
func (*Kernel) SNMP() (map[string]uint64, error) { return nil, ErrUnavailable }

// SendLocal returns ErrUnavailable.
func (*Kernel) SendLocal([]byte, uint32) (Result, error) { return Result{}, ErrUnavailable }

// Reload returns ErrUnavailable.
func (*Kernel) Reload(_, _ string) error { return ErrUnavailable }

// Sysctl returns ErrUnavailable.
func (*Kernel) Sysctl(map[string]string) error { return ErrUnavailable }

// Flush returns ErrUnavailable.
func (*Kernel) Flush() error { return ErrUnavailable }

// Dump returns ErrUnavailable.
func (*Kernel) Dump() ([]Entry, error) { return nil, ErrUnavailable }

// Save returns ErrUnavailable.
func (*Kernel) Save(bool) (string, error) { return "", ErrUnavailable }

// Stats returns ErrUnavailable.
func (*Kernel) Stats() (Stats, error) { return Stats{}, ErrUnavailable }

// Conntrack returns ErrUnavailable.
func (*Kernel) Conntrack(...string) (string, error) { return "", ErrUnavailable }

// Advance returns ErrUnavailable.
func (*Kernel) Advance(time.Duration, func(*Entry) bool) error { return ErrUnavailable }

// Close does nothing.
func (*Kernel) Close() {}

// Ipset returns ErrUnavailable.
func (*Kernel) Ipset(string, ...string) (string, error) { return "", ErrUnavailable }

// Nfct returns ErrUnavailable.
func (*Kernel) Nfct(...string) (string, error) { return "", ErrUnavailable }

package control

import "weir/engine"

// Target is what is controlled: something that has a machine.
type Target interface {
	// Do calls f while nobody else uses the machine, as engine.Machine.Do does.
	Do(f func(m *engine.Machine))
	// Now is the packet clock, ns since the Unix epoch.
	Now() int64
}

// Reloader is a Target that can read its configuration again.
type Reloader interface {
	Reload() error
}

// Devices is a Target that has devices.
type Devices interface {
	Devices() []Device
}

// Device is a device of a gateway and what went through it since it was opened.
type Device struct {
	Name      string `json:"name"`   // the interface
	Device    string `json:"device"` // the system's name, empty while it is gone
	Up        bool   `json:"up"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	TxDropped uint64 `json:"tx_dropped"` // what the device did not take
	Reopened  uint64 `json:"reopened"`   // how often it was gone and came back
}

// Alone makes a Target of a machine whose clock is now. Whoever gives it
// packets does so within Do.
func Alone(m *engine.Machine, now func() int64) Target { return alone{m, now} }

type alone struct {
	m   *engine.Machine
	now func() int64
}

func (a alone) Do(f func(*engine.Machine)) { a.m.Do(func() { f(a.m) }) }
func (a alone) Now() int64                 { return a.now() }

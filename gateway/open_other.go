//go:build !linux

package gateway

import (
	"fmt"
	"runtime"

	"weir/machine"
)

// open refuses: devices of the system need Linux.
func open(l machine.Link, _ int) (Device, error) {
	return nil, fmt.Errorf("interface %s: link %s is not supported on %s", l.Iface.Name, l.Kind, runtime.GOOS)
}

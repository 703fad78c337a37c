//go:build !linux && !darwin && !windows

package gateway

import (
	"fmt"
	"runtime"

	"weir/machine"
)

// open refuses: there is no way to devices of this system.
func open(l machine.Link, _ int) (Device, error) {
	return nil, fmt.Errorf("interface %s: link %s is not supported on %s", l.Iface.Name, l.Kind, runtime.GOOS)
}

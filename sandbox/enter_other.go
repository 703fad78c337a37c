//go:build !linux

package sandbox

import "runtime"

// Enter does nothing but say so.
func Enter(Policy) Report {
	return Report{Missing: []string{"there is no sandbox on " + runtime.GOOS}}
}

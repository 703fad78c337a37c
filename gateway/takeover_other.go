//go:build !linux

package gateway

import (
	"errors"
	"net"
)

func (g *Gateway) awaitSuccessor(net.Listener, chan<- struct{}) {}

func (g *Gateway) takeOver(*net.UnixConn) error {
	return errors.New("devices can be taken over on Linux only")
}

package gateway

import "errors"

var (
	errFull    = errors.New("the queue is full")
	errTooLong = errors.New("the packet is longer than the device's MTU")
)

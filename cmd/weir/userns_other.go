//go:build !linux

package main

import (
	"errors"

	"weir/gateway"
)

type userns struct {
	devices map[string]gateway.Device
	ended   chan error
	status  error
}

func (c *runCmd) usernsStage(*env) (bool, error) {
	return true, errors.New("weir run: --userns needs Linux")
}

func (c *runCmd) startUserns(*env) (*userns, error) { return nil, nil }
func (u *userns) opened() error                     { return nil }
func (u *userns) ready()                            {}
func statusOf(err error) error                      { return err }

package main

import (
	"io"

	"weir/engine"
	"weir/machine"
	"weir/replay"
)

func readAll(r io.Reader) ([]byte, error) { return io.ReadAll(r) }

// load makes the machine of a directory, or says everything that is wrong
// with it.
func load(dir string, seed uint64) (*machine.Machine, *engine.Machine, error) {
	m, errs := machine.Load(dir)
	if m == nil {
		return nil, nil, errorList(errs)
	}
	eng, more := engine.New(replay.Config(m, seed))
	errs = append(errs, more...)
	if len(errs) > 0 {
		return nil, nil, errorList(errs)
	}
	return m, eng, nil
}

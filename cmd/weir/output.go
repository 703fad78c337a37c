package main

import (
	"bufio"
	"io"
	"os"
)

// output is a file that an option names; "-" is standard output.
type output struct {
	*bufio.Writer
	f *os.File
}

// open makes the file of an option, or returns nil for an option not given.
// Files are made before the work begins, so that a name that cannot be
// written is known at once.
func (e *env) open(name string) (*output, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return &output{bufio.NewWriterSize(e.stdout, 64<<10), nil}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return &output{bufio.NewWriterSize(f, 256<<10), f}, nil
}

// close flushes; a nil output is fine.
func (o *output) close() error {
	if o == nil {
		return nil
	}
	err := o.Flush()
	if o.f != nil {
		if cerr := o.f.Close(); err == nil {
			err = cerr
		}
	}
	return err
}

// input opens a capture; "-" is standard input.
func (e *env) input(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(e.stdin), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}

package capture

import (
	"errors"
	"io"
)

// maxRecord is the largest record or block that is believed: far above any
// frame, far below what a corrupt length could ask for.
const maxRecord = 16 << 20

// errShort is the end of the input in the middle of something.
var errShort = errors.New("ends in the middle")

// source is a buffered input whose bytes can be looked at in place.
type source struct {
	r        io.Reader
	buf      []byte
	pos, end int
	off      int64 // bytes consumed
	eof      error // sticky error of r
}

func newSource(r io.Reader) *source { return &source{r: r, buf: make([]byte, 256<<10)} }

// peek returns the next n bytes without consuming them. io.EOF: nothing is
// left at all; errShort: fewer than n are left.
func (s *source) peek(n int) ([]byte, error) {
	if s.end-s.pos < n {
		if err := s.fill(n); err != nil {
			return s.buf[s.pos:s.end], err
		}
	}
	return s.buf[s.pos : s.pos+n], nil
}

func (s *source) fill(n int) error {
	if s.pos > 0 {
		copy(s.buf, s.buf[s.pos:s.end])
		s.end -= s.pos
		s.pos = 0
	}
	for s.end < n {
		if s.eof != nil {
			if s.eof == io.EOF && s.end > 0 {
				return errShort
			}
			return s.eof
		}
		if s.end == len(s.buf) {
			// Double towards n, so that a corrupt length costs no
			// more memory than the file has bytes.
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		m, err := s.r.Read(s.buf[s.end:])
		s.end += m
		if err != nil {
			s.eof = err
		}
	}
	return nil
}

// skip consumes n bytes that peek returned.
func (s *source) skip(n int) {
	s.pos += n
	s.off += int64(n)
}

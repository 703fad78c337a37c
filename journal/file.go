package journal

import "os"

// File is a file that begins anew when it is full. The full one is kept under
// the name with ".1" behind it; the one before that is removed.
type File struct {
	name  string
	max   int64
	f     *os.File
	size  int64
	again bool
}

// Open makes a file that holds max bytes. One that exists is moved away.
func Open(name string, max int64) (*File, error) {
	f := &File{name: name, max: max}
	return f, f.begin()
}

func (f *File) begin() error {
	if st, err := os.Stat(f.name); err == nil && st.Mode().IsRegular() && st.Size() > 0 {
		if err := os.Rename(f.name, f.name+".1"); err != nil {
			return err
		}
	}
	n, err := os.OpenFile(f.name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if f.f != nil {
		f.f.Close()
	}
	f.f, f.size, f.again = n, 0, true
	return nil
}

// fresh reports, once, that the file is at its beginning; it begins it anew
// when it is full.
func (f *File) fresh() bool {
	if f.size >= f.max && f.begin() != nil {
		f.size = 0 // the next try comes when as much again was written
	}
	a := f.again
	f.again = false
	return a
}

// Write implements io.Writer. A line is never split between files, and neither
// is a capture: who writes one asks fresh.
func (f *File) Write(b []byte) (int, error) {
	n, err := f.f.Write(b)
	f.size += int64(n)
	return n, err
}

// Lines is the file for lines of text.
func (f *File) Lines() *Lines { return &Lines{f} }

// Lines writes lines to a file, which begins anew between two of them.
type Lines struct{ f *File }

// Write implements io.Writer; b is one line.
func (l *Lines) Write(b []byte) (int, error) {
	l.f.fresh()
	return l.f.Write(b)
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

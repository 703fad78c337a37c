package gateway

import (
	"errors"
	"os"
	"testing"
)

// fakeTUN is a device as the library has them.
type fakeTUN struct {
	in, out chan []byte
	fail    error
	closed  chan struct{}
}

func (f *fakeTUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case <-f.closed:
		return 0, os.ErrClosed
	case b, ok := <-f.in:
		if !ok {
			return 0, f.fail
		}
		sizes[0] = copy(bufs[0][offset:], b)
		return 1, nil
	}
}

func (f *fakeTUN) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		if b[offset] == 0 {
			return 0, errors.New("no packet")
		}
		f.out <- append([]byte(nil), b[offset:]...)
	}
	return len(bufs), nil
}

func (f *fakeTUN) MTU() (int, error)     { return 1400, nil }
func (f *fakeTUN) Name() (string, error) { return "utun7", nil }
func (f *fakeTUN) BatchSize() int        { return 1 }
func (f *fakeTUN) Close() error          { close(f.closed); return nil }

func TestADeviceOfTheLibraryCarriesPackets(t *testing.T) {
	f := &fakeTUN{in: make(chan []byte, 8), out: make(chan []byte, 8), closed: make(chan struct{})}
	d, err := newLibDev(f)
	if err != nil || d.Name() != "utun7" || d.MTU() != 1400 || d.Up() != nil {
		t.Fatal(err, d)
	}
	q, batch := d.Queues()[0], make([]Packet, 4)
	for _, s := range []string{"one", "", "two", "three", "four"} {
		f.in <- []byte(s)
	}
	for _, want := range []string{"one", "two", "three", "four"} {
		if n, err := q.Read(batch); err != nil || n != 1 || string(batch[0].Data) != want {
			t.Fatalf("%d %v %q, want %q", n, err, batch[0].Data, want)
		}
	}
	if n, err := q.Write([]Packet{{Data: []byte("out")}, {Data: []byte{0}}, {Data: []byte("more")}}); n != 2 || err == nil {
		t.Errorf("%d written, %v", n, err)
	}
	if a, b := string(<-f.out), string(<-f.out); a != "out" || b != "more" {
		t.Error(a, b)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := q.Read(batch); !errors.Is(err, ErrClosed) {
		t.Error("stopped: ", err)
	}
	if n, err := q.Write([]Packet{{Data: []byte("last")}}); n != 1 || err != nil || string(<-f.out) != "last" {
		t.Error("after Stop it writes: ", n, err)
	}
	if d.Close() != nil || d.Close() != nil {
		t.Error("closing twice")
	}
}

func TestADeviceOfTheLibraryThatFailsSaysSo(t *testing.T) {
	f := &fakeTUN{in: make(chan []byte), closed: make(chan struct{}), fail: errors.New("gone")}
	d, err := newLibDev(f)
	if err != nil || d.Up() != nil {
		t.Fatal(err)
	}
	close(f.in)
	if _, err := d.Read(make([]Packet, 1)); !errors.Is(err, f.fail) {
		t.Error(err)
	}
	d.Close()
}

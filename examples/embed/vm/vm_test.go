package vm

import (
	"bytes"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"weir/gateway"
)

// frameOf is a frame with n bytes behind its header.
func frameOf(n int) gateway.Frame {
	return gateway.Frame{Head: bytes.Repeat([]byte{7}, headLen), Data: bytes.Repeat([]byte{8}, n)}
}

func TestDatagramsCarryOneFrameEach(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	c, err := net.Dial("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	from, to := Datagram("a", c, 1500), Datagram("b", l, 1500)
	c.Write([]byte("short")) // no frame; it is passed over
	if n, err := from.WriteFrames([]gateway.Frame{frameOf(60), frameOf(1500)}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	var got [4]gateway.Frame
	for _, want := range []int{60, 1500} {
		if n, err := to.ReadFrames(got[:]); n != 1 || err != nil || len(got[0].Data) != want || len(got[0].Head) != headLen {
			t.Errorf("%d frames, %v, %d bytes; want one of %d", n, err, len(got[0].Data), want)
		}
	}
	if err := to.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := to.ReadFrames(got[:]); !errors.Is(err, gateway.ErrClosed) {
		t.Errorf("after Stop: %v", err)
	}
}

func TestAStreamThatLiesEnds(t *testing.T) {
	for name, c := range map[string]struct {
		sent []byte
		want string
	}{
		"a frame that is longer than the link": {[]byte{0xff, 0xff, 0xff, 0xff, 1, 2}, "a frame of 4294967295 bytes on a link of 1500"},
		"a frame that is cut off":              {[]byte{0, 0, 0, 60, 1, 2}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := net.Pipe()
			go func() { a.Write(c.sent); a.Close() }()
			_, err := Stream("vm0", b, 1500).ReadFrames(make([]gateway.Frame, 1))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

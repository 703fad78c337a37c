package sandbox

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inside is set in the process that the test restricts.
const inside = "WEIR_SANDBOX_TEST"

func TestMain(m *testing.M) {
	if dir := os.Getenv(inside); dir != "" {
		restricted(dir)
		return
	}
	os.Exit(m.Run())
}

// restricted enters the sandbox and says what it can still do.
func restricted(dir string) {
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		fmt.Println("listen", err)
		return
	}
	r := Enter(Policy{Read: []string{filepath.Join(dir, "read")}, Write: []string{filepath.Join(dir, "write")}})
	fmt.Println("report", r.Capabilities, r.Landlock > 0, r.Seccomp, r.Missing)
	try := func(name string, f func() error) {
		// On many threads: each of them has to be restricted.
		for range 8 {
			done := make(chan error)
			go func() {
				runtime.LockOSThread()
				done <- f()
			}()
			if err := <-done; err != nil {
				fmt.Println(name, "no")
				return
			}
		}
		fmt.Println(name, "yes")
	}
	read := func(name string) func() error {
		return func() error { _, err := os.ReadFile(filepath.Join(dir, name)); return err }
	}
	try("read what may be read", read("read/file"))
	try("write what may be read", func() error { return os.WriteFile(filepath.Join(dir, "read/file"), nil, 0o600) })
	try("read another file", read("other"))
	try("write a file anew", func() error {
		tmp, name := filepath.Join(dir, "write/new"), filepath.Join(dir, "write/file")
		if err := os.WriteFile(tmp, []byte("x"), 0o600); err != nil {
			return err
		}
		return os.Rename(tmp, name)
	})
	try("make a socket", func() error { c, err := net.ListenPacket("udp", "127.0.0.1:0"); _ = c; return err })
	try("start a process", func() error { return exec.Command("/bin/true").Run() })
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = c.Write([]byte("hello"))
			c.Close()
		}
		fmt.Println("accepted", err == nil)
	}()
	time.Sleep(time.Millisecond)
	_ = os.WriteFile(filepath.Join(dir, "write/ready"), nil, 0o600)
	var b [1]byte
	_, _ = os.Stdin.Read(b[:]) // the test has connected
	_ = syscall.Exec("/bin/true", []string{"true"}, nil)
	fmt.Println("still alive")
}

func TestWhatStaysAllowed(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"read", "write"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"read/file", "other"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), inside+"="+dir)
	stdin, _ := cmd.StdinPipe()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if _, err := os.Stat(filepath.Join(dir, "write/ready")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if c, err := net.Dial("unix", filepath.Join(dir, "sock")); err == nil {
		var b [5]byte
		_, _ = c.Read(b[:])
		c.Close()
	}
	_, _ = stdin.Write([]byte{1})
	err = cmd.Wait()
	text := out.String()
	if strings.Contains(text, "cgo") {
		t.Skip("the test was built with cgo")
	}
	for _, want := range []string{
		"report true true true []", "read what may be read yes", "write what may be read no", "read another file no",
		"write a file anew yes", "make a socket no", "start a process no", "accepted true",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("not said: %s", want)
		}
	}
	if strings.Contains(text, "still alive") || err == nil {
		t.Errorf("an exec does not end the process: %v", err)
	}
	if t.Failed() {
		t.Log(text)
	}
}

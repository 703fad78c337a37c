package gateway

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state")
	content := func() string { b, _ := os.ReadFile(name); return string(b) }
	if err := replaceFile(name, []byte("first")); err != nil || content() != "first" {
		t.Fatalf("%v %q", err, content())
	}
	if err := replaceFile(name, []byte("second")); err != nil || content() != "second" {
		t.Fatalf("%v %q", err, content())
	}
	// No room: the place of the new file is taken by a directory.
	if err := os.Mkdir(name+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(name, []byte("third")); err == nil || content() != "second" {
		t.Errorf("%v %q", err, content())
	}
	os.Remove(name + ".new")
	// /dev/full has no room for a byte.
	if _, err := os.Stat("/dev/full"); err == nil {
		if err := os.Symlink("/dev/full", name+".new"); err != nil {
			t.Fatal(err)
		}
		if err := replaceFile(name, []byte("fourth")); err == nil || content() != "second" {
			t.Errorf("disk full: %v %q", err, content())
		}
		if _, err := os.Lstat(name + ".new"); err == nil {
			t.Error("the unfinished file is left")
		}
	}
}

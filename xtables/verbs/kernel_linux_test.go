package verbs_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/xtables"
	"weir/xtables/std"
	"weir/xtables/verbs"
)

// namespace runs f on a thread of its own in a network namespace of its own.
func namespace(t *testing.T, f func()) {
	t.Helper()
	fail := t.Skip
	if os.Getenv("WEIR_REQUIRE_KERNEL") == "1" {
		fail = t.Fatal
	}
	if os.Geteuid() != 0 {
		fail("iptables-legacy in a network namespace needs root")
	}
	if _, err := exec.LookPath("iptables-legacy"); err != nil {
		fail("iptables-legacy is not installed")
	}
	done := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		f()
	}()
	if err := <-done; err != nil {
		fail(err.Error())
	}
}

// real runs the real program.
func real(prog string, args []string, stdin string) (stdout, stderr string, status int) {
	name := strings.Replace(prog, "tables", "tables-legacy", 1)
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	var out, errOut strings.Builder
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errOut
	err := c.Run()
	if x, ok := err.(*exec.ExitError); ok {
		status = x.ExitCode()
	} else if err != nil {
		status = -1
	}
	return out.String(), errOut.String(), status
}

// ours runs weir's.
type ours struct{ v4, v6 *xtables.Ruleset }

func (o *ours) run(prog string, args []string, stdin string) verbs.Result {
	p, ok := verbs.Find(prog)
	if !ok {
		panic(prog)
	}
	rs := &o.v4
	if strings.HasPrefix(prog, "ip6") {
		rs = &o.v6
	}
	r := verbs.Run(*rs, verbs.Call{Program: p, Args: args, List: std.List(), Now: time.Unix(0, 0).UTC(),
		Stdin: func() ([]byte, error) { return []byte(stdin), nil }, Open: os.ReadFile})
	*rs = r.Rules
	return r
}

// TestListingIsThatOfIptables compares -L and -v for every rule of
// testdata/list.rules.
func TestListingIsThatOfIptables(t *testing.T) {
	src, err := os.ReadFile("testdata/list.rules")
	if err != nil {
		t.Fatal(err)
	}
	namespace(t, func() {
		compared, missing := 0, 0
		for l := range strings.Lines(string(src)) {
			f := strings.SplitN(strings.TrimSpace(l), " ", 4)
			if l[0] == '#' || len(f) < 4 {
				continue
			}
			for _, fam := range f[0] {
				prog := "iptables"
				if fam == '6' {
					prog = "ip6tables"
				}
				table, chain := f[1], f[2]
				text := fmt.Sprintf("*%s\n-A %s %s\nCOMMIT\n", table, chain, f[3])
				_, stderr, status := real(prog+"-restore", []string{"-c"}, text)
				var o ours
				r := o.run(prog+"-restore", []string{"-c"}, text)
				if status != r.Status {
					if strings.Contains(string(r.Stderr), "no target or chain") || strings.Contains(string(r.Stderr), "Couldn't load") {
						missing++ // the extension is not there
						continue
					}
					t.Errorf("%s %s: status %d, iptables %d: %s %s", prog, f[3], r.Status, status, r.Stderr, stderr)
					continue
				}
				if status != 0 {
					continue
				}
				for _, args := range [][]string{{"-nL", chain}, {"-L", chain, "-v", "--line-numbers"}, {"-nvxL", chain, "1"}, {"-S", chain, "-v"}} {
					args = append([]string{"-t", table}, args...)
					want, _, _ := real(prog, args, "")
					got := string(o.run(prog, args, "").Stdout)
					if compared++; got != want {
						t.Errorf("%s %s, of %s\n got %q\nwant %q", prog, strings.Join(args, " "), f[3], diff(got, want), diff(want, got))
						break
					}
				}
			}
		}
		t.Logf("%d listings compared; %d rules have extensions that are not there", compared, missing)
	})
}

// diff is the first line of a that differs from b.
func diff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if i >= len(y) || x[i] != y[i] {
			return x[i]
		}
	}
	return a
}

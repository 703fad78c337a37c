package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// programHead makes the file system the script's own. With weir, weir stands
// where iptables and ipset are, at their full paths too; the kernel's are the
// legacy ones.
const programHead = `mount --make-rprivate / && mount -t tmpfs none /run && cd "$OUT" || exit 99
ip link set lo up
if [ -n "$WEIR" ]; then
	for p in xtables-legacy-multi xtables-nft-multi ipset; do [ ! -e /usr/sbin/$p ] || mount --bind "$WEIR" /usr/sbin/$p; done
else
	mkdir bin
	for p in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do ln -s /usr/sbin/xtables-legacy-multi bin/$p; done
	PATH=$OUT/bin:$PATH
	mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi
fi
# own NAME: a copy of a directory of the system that the script may change.
own() { cp -a "$1" "own${1##*/}" && mount --bind "own${1##*/}" "$1"; }
# show STEP STATUS: the rules and sets as they are.
show() {
	echo "== $1: $2"
	for p in iptables-save ip6tables-save; do
		for t in raw mangle nat filter security; do
			s=$($p -t $t 2>/dev/null | grep -v '^#')
			case "$s" in *-A*|*DROP*|*" - "*) echo "# $p"; echo "$s";; esac
		done
	done
	ipset save | sed 's/ initval 0x[0-9a-f]*//'
}
`

// TestProgramsOfDebian runs programs as Debian has them under weir with, without
// any power over the system, and compares the rules and sets that they leave
// with what is kept and, as root, with what they leave in the kernel.
func TestProgramsOfDebian(t *testing.T) {
	scripts, err := filepath.Glob("testdata/programs/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	bin := weirBinary(t)
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".sh"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			version := ""
			for l := range strings.Lines(string(text)) {
				for _, p := range strings.Fields(after(l, "# needs: ")) {
					if _, err := exec.LookPath(p); err != nil {
						t.Skipf("%s is not installed", p)
					}
				}
				if c := after(l, "# version: "); c != "" {
					b, _ := exec.Command("sh", "-c", c).CombinedOutput()
					version = "version " + strings.TrimSpace(string(b)) + "\n"
				}
			}
			var got, kernel string
			var wg sync.WaitGroup
			wg.Go(func() { got = version + runProgram(t, bin, string(text)) })
			if os.Getuid() == 0 {
				wg.Go(func() { kernel = version + runProgram(t, "", string(text)) })
			}
			wg.Wait()
			if strings.Contains(got, "Operation not permitted") && os.Getuid() != 0 {
				t.Skip("this system gives no user namespaces")
			}
			got, kernel = drawn.ReplaceAllString(got, "sha-$1-X"), drawn.ReplaceAllString(kernel, "sha-$1-X")
			if kernel != "" {
				same(t, got, kernel)
			}
			golden := strings.TrimSuffix(script, ".sh") + ".txt"
			got = counters.ReplaceAllString(got, "[0:0]")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(string(want), "\n"); version != "" && first+"\n" != version {
				t.Logf("kept for %s, here is %s", first, version)
				return
			}
			same(t, got, string(want))
		})
	}
}

// drawn are names that shorewall draws by lot.
var drawn = regexp.MustCompile(`sha-([lr]h)-[0-9a-f]{20}`)

// after is what follows prefix in a line that begins so.
func after(l, prefix string) string {
	s, _ := strings.CutPrefix(strings.TrimSpace(l), prefix)
	if len(s) == len(strings.TrimSpace(l)) {
		return ""
	}
	return s
}

// runProgram runs a script under weir with, in a user namespace, or with the
// kernel's programs.
func runProgram(t *testing.T, bin, script string) string {
	dir, machine := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(machine, "machine.yaml"), []byte("interfaces:\n  - {name: lan0, addresses: [192.0.2.1/24]}\n"), 0o644); err != nil {
		t.Error(err)
	}
	args := []string{"/bin/bash", "-c", programHead + script}
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if bin != "" {
		args = append([]string{bin, "with", machine, "--"}, args...)
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = attr
	cmd.Env = append(os.Environ(), "WEIR="+bin, "OUT="+dir, "LC_ALL=C")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Logf("%v\n%s", err, log.String())
		return string(out) + err.Error() + "\n"
	}
	if testing.Verbose() {
		t.Logf("%s", log.String())
	}
	return string(out)
}

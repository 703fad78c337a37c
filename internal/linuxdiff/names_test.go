package linuxdiff

import (
	"os"
	"path/filepath"
	"testing"

	"weir/conntrack/show"
	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

// TestNamesInRulesAsIptables gives iptables an /etc of its own and weir the same
// files.
func TestNamesInRulesAsIptables(t *testing.T) {
	k := extensionKernel(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "xtables"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"xtables/connlabel.conf": labelNames, "passwd": "root:x:0:0::/:/bin/sh\nalice:x:1001:1002::/:/bin/sh\n7:x:1003:1003::/:/bin/sh\n",
		"group": "root:x:0:\nstaff:x:77:alice\n", "nsswitch.conf": "passwd: files\ngroup: files\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(stdin, program string) (string, int) {
		out, _, status, err := k.Program(stdin, "unshare", "-m", "sh", "-c", `mount --bind "$0" /etc && exec "$@"`, dir, program)
		if err != nil {
			t.Fatal(err)
		}
		return out, status
	}
	list := std.List()
	list.Known.Labels = show.ParseLabels([]byte(labelNames))
	list.Known.Users = map[string]uint32{"root": 0, "alice": 1001, "7": 1003}
	list.Known.Groups = map[string]uint32{"root": 0, "staff": 77}
	for _, r := range []string{
		"-m connlabel --label first", "-m connlabel ! --label 5", "-m connlabel --label 7 --set", "-m connlabel --label 0x7f", "-m connlabel --label absent", "-m connlabel --label 128", "-m connlabel --label First",
		"-m owner --uid-owner alice", "-m owner ! --uid-owner root --gid-owner staff", "-m owner --uid-owner 7", "-m owner --uid-owner bob", "-m owner --gid-owner alice", "-m owner --uid-owner 5-9", "-m owner --uid-owner alice-9",
		"-m owner --gid-owner staff --suppl-groups", "-m owner --suppl-groups --gid-owner staff", "-m owner --socket-exists", "-m owner ! --socket-exists", "-m owner --uid-owner 5 --uid-owner 6", "-m owner --gid-owner 4294967295", "-m owner --gid-owner 4294967294",
	} {
		text := "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A OUTPUT " + r + "\nCOMMIT\n"
		_, status := run(text, "iptables-legacy-restore")
		f, errs := save.Parse("rules", []byte(text), packet.IPv4, list)
		if (status == 0) != (len(errs) == 0) {
			t.Errorf("%s: Linux: status %d, weir: %v", r, status, errs)
		}
		if status != 0 || len(errs) > 0 {
			continue
		}
		want, _ := run("", "iptables-legacy-save")
		if got := ruleLines(string(save.Print(f))); got != ruleLines(want) {
			t.Errorf("%s: weir prints %s, Linux %s", r, got, ruleLines(want))
		}
	}
}

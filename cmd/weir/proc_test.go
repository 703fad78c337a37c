package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStateOfRulesGoesInAndOut replays a capture on the state of rules that
// /proc/net showed, twice: what the first replay wrote the second reads.
func TestStateOfRulesGoesInAndOut(t *testing.T) {
	cap := captureFile(t, "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4", "+2s lan0 udp 192.0.2.11:4000 > 198.51.100.1:53 len=4")
	dir := machineDir(t, map[string]string{"rules.v4": "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m recent --name x --set\n-A FORWARD -m hashlimit --hashlimit-upto 1/min --hashlimit-name y --hashlimit-mode srcip\nCOMMIT\n"})
	write := func(name, text string) {
		t.Helper()
		if os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755) != nil || os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) != nil {
			t.Fatal("cannot write")
		}
	}
	replay := func(want string) (out string) {
		t.Helper()
		out = t.TempDir()
		if code, _, stderr := weir(t, "replay", dir, cap, "--proc", out); code != 0 || stderr != "" {
			t.Fatal(code, stderr)
		}
		if got, _ := os.ReadFile(filepath.Join(out, "xt_recent", "x")); string(got) != want {
			t.Fatalf("%s, want\n%s", got, want)
		}
		if got, _ := os.ReadFile(filepath.Join(out, "ipt_hashlimit", "y")); !strings.Contains(string(got), " 192.0.2.11:0->0.0.0.0:0 ") {
			t.Fatalf("%s", got)
		}
		return out
	}
	write("jiffies", "1000\n")
	write("xt_recent/x", "src=192.0.2.10 ttl: 63 last_seen: 900 oldest_pkt: 2 800, 900\nsrc=203.0.113.9 ttl: 0 last_seen: 990 oldest_pkt: 1 990\n")
	out := replay("src=203.0.113.9 ttl: 0 last_seen: 990 oldest_pkt: 1 990\nsrc=192.0.2.10 ttl: 64 last_seen: 1000 oldest_pkt: 3 800, 900, 1000\nsrc=192.0.2.11 ttl: 64 last_seen: 1500 oldest_pkt: 1 1500\n")
	for _, n := range []string{"xt_recent/x", "ipt_hashlimit/y"} {
		text, err := os.ReadFile(filepath.Join(out, n))
		if err != nil {
			t.Fatal(err)
		}
		write(n, string(text))
	}
	// Without the file jiffies the newest time is that of the first packet.
	if err := os.Remove(filepath.Join(dir, "jiffies")); err != nil {
		t.Fatal(err)
	}
	replay("src=203.0.113.9 ttl: 0 last_seen: 990 oldest_pkt: 1 990\nsrc=192.0.2.10 ttl: 64 last_seen: 1500 oldest_pkt: 4 800, 900, 1000, 1500\nsrc=192.0.2.11 ttl: 64 last_seen: 2000 oldest_pkt: 2 1500, 2000\n")
	for _, c := range []struct{ file, text, want string }{
		{"xt_recent/x", "src=192.0.2.300 ttl: 63 last_seen: 900 oldest_pkt: 1 900\n", "x:1:5: "},
		{"xt_recent/x", "src=192.0.2.3 ttl: 63 last_seen: 900 oldest_pkt: 2 900\n", "x:1:50: "},
		{"xt_recent/x", "\nsrc=192.0.2.3 ttl: 63 last_seen: 900 oldest_pkt: 1 9o0\n", "x:2:52: "},
		{"xt_recent/x", "hello\n", "x:1:1: "},
		{"xt_recent/x", "", ""},
		{"ipt_hashlimit/y", "59 192.0.2.11:0->0.0.0.0:0 1 1 7\n", "y:1:32: "},
		{"ipt_hashlimit/y", "59 192.0.2.11->0.0.0.0:0 1 1 7\n", "y:1:4: "},
		{"ipt_hashlimit/y", "", ""},
		{"jiffies", "x", "jiffies:1:1: "},
		{"jiffies", "5", ""},
		{"xt_recent/z", "", "z:1:1: no rule"},
	} {
		write(c.file, c.text)
		code, _, stderr := weir(t, "replay", dir, cap)
		if (code == 0) != (c.want == "") || !strings.Contains(stderr, c.want) {
			t.Errorf("%s %q: exit %d, %s", c.file, c.text, code, stderr)
		}
	}
}

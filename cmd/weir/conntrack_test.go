package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConntrackOfAReplayAndOfItsState(t *testing.T) {
	const dir = "../../examples/home-router"
	capture := filepath.Join(dir, "browse.pcapng")
	state := filepath.Join(t.TempDir(), "conntrack.save")
	if code, _, err := weir(t, "replay", dir, capture, "--state-out", state); code != 0 {
		t.Fatal(code, err)
	}
	machine := []string{"conntrack", "--machine", dir, "--capture", capture}
	for _, c := range []struct {
		name   string
		args   []string
		status int
		lines  int    // of standard output
		said   string // standard error, or its end
	}{
		{"of a replay", append(machine, "-L", "-p", "tcp", "--state", "TIME_WAIT"), 0, 8, ": 8 flow entries have been shown.\n"},
		{"events of a replay", append(machine, "-E", "-e", "NEW", "-p", "icmp"), 0, 5, ": 5 flow events have been shown.\n"},
		{"of a state", []string{"conntrack", "--state", state, "-L", "-p", "udp"}, 0, 12, ": 12 flow entries have been shown.\n"},
		{"a change is kept", []string{"conntrack", "--state=" + state, "-D", "-p", "udp"}, 0, 12, ": 12 flow entries have been deleted.\n"},
		{"what was removed is gone", []string{"conntrack", "--state", state, "-D", "-p", "udp"}, 1, 0, ": 0 flow entries have been deleted.\n"},
		{"what was made is there", []string{"conntrack", "--state", state, "-I", "-s", "192.0.2.1", "-d", "198.51.100.1", "-p", "50", "-t", "99"}, 0, 0, ": 1 flow entries have been created.\n"},
		{"and counts", []string{"conntrack", "--state", state, "-C"}, 0, 1, ""},
		{"an option of conntrack that there is not", []string{"conntrack", "--state", state, "-L", "-k"}, 2, 0, "Try `conntrack -h' or 'conntrack --help' for more information.\n"},
		{"events of a state", []string{"conntrack", "--state", state, "-E"}, 2, 0, "nothing happens in a saved state\n"},
		{"two things to work on", []string{"conntrack", "--state", state, "--machine", dir, "-L"}, 2, 0, "both say what to work on\n"},
		{"an option of weir without its place", []string{"conntrack", "--seed", "4", "-L"}, 2, 0, "--seed goes with --state FILE or --machine DIR\n"},
		{"a time that is none", []string{"conntrack", "--at", "x", "--machine", dir, "-L"}, 2, 0, "--at: x is not a time to let pass\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, err := weir(t, c.args...)
			if code != c.status || strings.Count(out, "\n") != c.lines || !strings.HasSuffix(err, c.said) {
				t.Errorf("exit %d, %d lines, says %s", code, strings.Count(out, "\n"), err)
			}
		})
	}
	text, err := os.ReadFile(state)
	if err != nil || strings.Count(string(text), "\n") != 15 || strings.Contains(string(text), "-p udp") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestAMachineBeginsWithItsSavedState(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("machine.yaml", "interfaces:\n  - {name: lan0, addresses: [192.0.2.1/24]}\n  - {name: wan0, addresses: [198.51.100.1/24]}\n")
	write("rules.v4", "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m conntrack --ctstate ESTABLISHED -m connlabel --label vip -j ACCEPT\nCOMMIT\n")
	write("connlabel.conf", "3 vip\n")
	write("conntrack.save", "# of an incident\n-A -t 300 -u SEEN_REPLY,ASSURED -s 192.0.2.10 -d 198.51.100.9 -r 198.51.100.9 -q 192.0.2.10 -p tcp --sport 4000 --dport 80 --reply-port-src 80 --reply-port-dst 4000 --state ESTABLISHED --label-add vip\n")
	code, out, err := weir(t, "trace", dir, "--show", "verdict",
		"--packet", "wan0 tcp 198.51.100.9:80 > 192.0.2.10:4000 A", "--packet", "wan0 tcp 198.51.100.9:81 > 192.0.2.10:4000 A")
	if lines := strings.Split(out, "\n"); code != 0 || len(lines) < 2 || !strings.HasPrefix(lines[0], "FORWARD") || !strings.HasPrefix(lines[1], "DROP") {
		t.Errorf("exit %d %s\n%s", code, err, out)
	}
	write("conntrack.save", "-A -t 300 -s 192.0.2.10 -p 50\n-A -t 300 -s 192.0.2.10 -d 192.0.2.999 -p 50\n")
	code, _, err = weir(t, "trace", dir, "--packet", "wan0 tcp 198.51.100.9:80 > 192.0.2.10:4000 A")
	if code != 1 || !strings.Contains(err, "conntrack.save:1:1: you have to specify") || !strings.Contains(err, "conntrack.save:2:28: Invalid IP address `192.0.2.999'") {
		t.Errorf("exit %d %s", code, err)
	}
}

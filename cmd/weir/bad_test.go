package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil || w.Close() != nil {
		t.Fatal("gzip does not write to memory")
	}
	return z.Bytes()
}

// badInput replays bytes as a capture through a router and returns the lines of
// JSON and what was said.
func badInput(t *testing.T, dir string, data []byte) (code int, lines []string, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(&env{stdin: bytes.NewReader(data), stdout: &o, stderr: &e}, []string{"replay", dir, "-", "--json", "-", "--in", "lan0"})
	for l := range strings.Lines(o.String()) {
		lines = append(lines, l)
	}
	return code, lines, e.String()
}

// places is where the records of a file end, the header first.
func places(t *testing.T, data []byte, ng bool) (ends []int) {
	t.Helper()
	if !ng {
		for at := 24; at <= len(data); {
			ends = append(ends, at)
			if at == len(data) {
				return ends
			}
			at += 16 + int(binary.LittleEndian.Uint32(data[at+8:]))
		}
	}
	for at := 0; at < len(data); {
		n := int(binary.LittleEndian.Uint32(data[at+4:]))
		kind := binary.LittleEndian.Uint32(data[at:])
		at += n
		if kind == 6 || len(ends) == 0 {
			ends = append(ends, at)
		} else if len(ends) == 1 {
			ends[0] = at // the interfaces belong to the header
		}
	}
	return ends
}

// TestACaptureCutAnywhere cuts a capture at every byte: the packets before are
// run, then the error names the packet, unless the cut is between two.
func TestACaptureCutAnywhere(t *testing.T) {
	dir, file := machineDir(t, nil), captureFile(t, onlyLAN[:3]...)
	for name, data := range map[string][]byte{"pcap": pcapOf(t, file, binary.LittleEndian), "pcapng": mustRead(t, file)} {
		_, whole, _ := badInput(t, dir, data)
		ends := places(t, data, name == "pcapng")
		if len(whole) != 3 || len(ends) != 4 {
			t.Fatalf("%s: %d lines, %d places", name, len(whole), len(ends))
		}
		for cut := range data {
			code, lines, stderr := badInput(t, dir, data[:cut])
			before, between := -1, false
			for i, e := range ends {
				if cut >= e {
					before, between = i, cut == e
				}
			}
			n := max(before, 0)
			if got, want := strings.Join(lines, ""), strings.Join(whole[:n], ""); got != want {
				t.Fatalf("%s cut at %d: ran\n%swant\n%s", name, cut, got, want)
			}
			switch {
			case between || name == "pcapng" && cut == int(binary.LittleEndian.Uint32(data[4:])):
				if code != 0 {
					t.Errorf("%s cut at %d, between packets: exit %d %s", name, cut, code, stderr)
				}
			case before < 0:
				if code != 1 || !strings.HasPrefix(stderr, "weir: -: ") && !strings.HasPrefix(stderr, "-: ") {
					t.Errorf("%s cut at %d, in the header: exit %d %s", name, cut, code, stderr)
				}
			default:
				if want := fmt.Sprintf("-: packet %d: ", n+1); code != 1 || !strings.Contains(stderr, want) {
					t.Errorf("%s cut at %d: exit %d %q, want %q", name, cut, code, stderr, want)
				}
			}
		}
	}
}

// TestACaptureCorruptAnywhere changes every byte in two ways: what stands
// before the change is run as it was, and an error has its packet.
func TestACaptureCorruptAnywhere(t *testing.T) {
	dir, file := machineDir(t, nil), captureFile(t, onlyLAN[:3]...)
	named := regexp.MustCompile(`^-: (packet \d+: )?\S`)
	for name, data := range map[string][]byte{
		"pcap": pcapOf(t, file, binary.LittleEndian), "pcapng": mustRead(t, file), "gzip": gzipped(t, mustRead(t, file)),
	} {
		_, whole, _ := badInput(t, dir, data)
		var ends []int
		if name != "gzip" {
			ends = places(t, data, name == "pcapng")
		}
		failed := 0
		for at := range data {
			for _, flip := range []byte{0x01, 0x80} {
				bad := bytes.Clone(data)
				bad[at] ^= flip
				code, lines, stderr := badInput(t, dir, bad)
				intact := 0
				for i, e := range ends {
					if at >= e {
						intact = i
					}
				}
				if len(lines) < intact || strings.Join(lines[:intact], "") != strings.Join(whole[:intact], "") {
					t.Fatalf("%s, byte %d: the %d packets before are not as they were", name, at, intact)
				}
				switch code {
				case 0:
				case 1:
					failed++
					for l := range strings.Lines(stderr) {
						if !named.MatchString(l) {
							t.Fatalf("%s, byte %d: says %q", name, at, l)
						}
					}
				default:
					t.Fatalf("%s, byte %d: exit %d %s", name, at, code, stderr)
				}
			}
		}
		if failed == 0 {
			t.Errorf("%s: no change was noticed", name)
		}
	}
}

// placed is FILE:LINE:COLUMN: message, or FILE: message where there is no place.
var placed = regexp.MustCompile(`^[^:]+(:\d+:\d+)?: \S`)

// TestAMachineBrokenAnywhere drops, doubles and garbles every line of every file
// of the example machines, and cuts each file there: weir loads what is left, or
// says with places what is wrong, and never both.
func TestAMachineBrokenAnywhere(t *testing.T) {
	cap := captureFile(t, "nowhere udp 192.0.2.10:4000 > 198.51.100.1:53 len=4")
	for _, example := range []string{"home-router", "ipv6-router"} {
		src := filepath.Join("../../examples", example)
		files := map[string]string{}
		for _, n := range []string{"machine.yaml", "addr.json", "route.json", "route6.json", "rules.v4", "rules.v6", "sysctl.conf", "sockets.txt"} {
			if b, err := os.ReadFile(filepath.Join(src, n)); err == nil {
				files[n] = string(b)
			}
		}
		refused := 0
		for name, text := range files {
			lines := strings.SplitAfter(text, "\n")
			step := max(1, len(lines)/8) // a route list is long
			for i := 0; i < len(lines); i += step {
				l := lines[i]
				half := len(l) / 2
				for _, now := range []string{
					"", l + l, l[:half] + "\n", l[:half] + "\x00\xff" + l[half:], strings.Repeat("(", 50) + "\n" + l, strings.ReplaceAll(l, ":", ";"), "-A NOWHERE -j NOTHING\n" + l,
				} {
					broken := strings.Join(lines[:i], "") + now + strings.Join(lines[i+1:], "")
					refused += brokenMachine(t, files, name, broken, cap)
				}
				refused += brokenMachine(t, files, name, strings.Join(lines[:i], "")+l[:half], cap)
			}
		}
		if refused < 50 {
			t.Errorf("%s: only %d broken machines were refused", example, refused)
		}
	}
}

// brokenMachine loads a machine with one file replaced; 1 if it was refused.
func brokenMachine(t *testing.T, files map[string]string, name, text, cap string) int {
	t.Helper()
	d := t.TempDir()
	for n, s := range files {
		if n == name {
			s = text
		}
		if err := os.WriteFile(filepath.Join(d, n), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, stderr := weir(t, "replay", d, cap, "--in", "local", "--json", "-")
	switch {
	case code == 0:
		return 0
	case code != 1 || stderr == "" || out != "":
		t.Fatalf("%s broken: exit %d\n%s\n%s\n%s", name, code, stderr, out, text)
	}
	for l := range strings.Lines(stderr) {
		l = strings.ReplaceAll(l, d+"/", "")
		if !placed.MatchString(l) {
			t.Fatalf("%s broken: says %q\n%s", name, l, text)
		}
	}
	return 1
}

// TestEveryErrorOfAMachineIsTold breaks every file at once.
func TestEveryErrorOfAMachineIsTold(t *testing.T) {
	dir := machineDir(t, map[string]string{
		"machine.yaml": "interfaces:\n  - {name: lan0, addresses: [192.0.2.1/99]}\n  - {nam: wan0}\nsysctl: {net.ipv4.ip_foward: 1}\nlisten: [icmp/7]\n",
		"rules.v4":     "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp --dport http -j ACCEPT\n-A FORWARD -j NOWHERE\n-A FORWARD -m nothing -j DROP\nCOMMIT\n",
		"rules.v6":     "*nat\n-A FORWARD -j ACCEPT\nCOMMIT\n",
		"sysctl.conf":  "net.ipv4.ip_forward = maybe\n",
		"sockets.txt":  "tcp LISTEN 0 128 0.0.0.0:x 0.0.0.0:*\n",
	})
	code, out, stderr := weir(t, "replay", dir, captureFile(t, "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53"))
	if code != 1 || out != "" {
		t.Errorf("exit %d %s", code, out)
	}
	for _, place := range []string{"machine.yaml:2:30: ", "machine.yaml:3:6: ", "machine.yaml:4:10: ", "machine.yaml:5:10: ", "rules.v4:4:", "rules.v4:5:", "rules.v6:2:", "sysctl.conf:1:", "sockets.txt:1:"} {
		if !strings.Contains(stderr, place) {
			t.Errorf("nothing about %s\n%s", place, stderr)
		}
	}
}

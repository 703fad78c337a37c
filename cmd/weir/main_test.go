package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/capture"
	"weir/scenario/line"
)

const machineYAML = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24]}
  - {name: wan0, addresses: [203.0.113.2/24]}
routes:
  - {to: 0.0.0.0/0, via: 203.0.113.1, dev: wan0}
`

const rulesV4 = `*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -p udp -j ACCEPT
COMMIT
`

// machineDir writes a router into a directory of the test's own.
func machineDir(t *testing.T, files map[string]string) string {
	t.Helper()
	d := t.TempDir()
	all := map[string]string{"machine.yaml": machineYAML, "rules.v4": rulesV4}
	for n, s := range files {
		all[n] = s
	}
	for n, s := range all {
		if err := os.WriteFile(filepath.Join(d, n), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// captureFile writes lines as a pcapng file.
func captureFile(t *testing.T, lines ...string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := capture.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(1767225600_000000000)
	for _, l := range lines {
		p, err := line.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		at += int64(p.After)
		for _, d := range p.Data {
			if err := w.Packet(p.In, at, d, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	name := filepath.Join(t.TempDir(), "c.pcapng")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// weir runs the command.
func weir(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(&env{stdin: strings.NewReader(""), stdout: &o, stderr: &e}, args)
	return code, o.String(), e.String()
}

func TestExitStatusAndErrors(t *testing.T) {
	good := machineDir(t, nil)
	bad := machineDir(t, map[string]string{"machine.yaml": "interfaces: [{nam: x}]\n", "rules.v4": "*filter\n-A FORWARD -j NOWHERE\nCOMMIT\n"})
	cap := captureFile(t, "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4")
	cut := captureFile(t, "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4", "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4")
	if b, err := os.ReadFile(cut); err != nil || os.WriteFile(cut, b[:len(b)-10], 0o600) != nil {
		t.Fatal(err)
	}
	clash := machineDir(t, map[string]string{"rules.v4": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j IDLETIMER --timeout 5 --label x\n-A INPUT -j IDLETIMER --timeout 5 --label x --alarm\nCOMMIT\n"})
	unnamed := captureFile(t, "nowhere udp 192.0.2.10:4000 > 198.51.100.1:53 len=4")
	for _, c := range []struct {
		name string
		args []string
		code int
		err  string // part of standard error
	}{
		{"help", []string{"--help"}, 0, ""},
		{"help of a verb", []string{"trace", "--help"}, 0, ""},
		{"version", []string{"version"}, 0, ""},
		{"no such verb", []string{"frobnicate"}, 2, "frobnicate"},
		{"no such option", []string{"replay", good, cap, "--jsn", "-"}, 2, "--jsn"},
		{"no machine", []string{"replay"}, 2, "<machine>"},
		{"no capture", []string{"trace", good}, 2, "expected a capture or --packet"},
		{"a bad line", []string{"trace", good, "--packet", "lan0 tpc"}, 2, "--packet 1, column 6"},
		{"an interface that is not there", []string{"trace", good, "--packet", "eth9 icmp 192.0.2.10 > 192.0.2.1 echo"}, 2, `no interface "eth9"`},
		{"a bad expression", []string{"trace", good, cap, "--only", "verdict=="}, 2, "a value is missing"},
		{"a bad machine", []string{"replay", bad, cap}, 1, "machine.yaml:1:15: unknown key \"nam\""},
		{"the rules of a bad machine", []string{"replay", bad, cap}, 1, "rules.v4:2:"},
		{"a machine that is not there", []string{"replay", good + "x", cap}, 1, "no such file"},
		{"a capture that is not there", []string{"replay", good, cap + "x"}, 1, "no such file"},
		{"a capture cut off", []string{"replay", good, cut}, 1, "packet 2: the capture ends in the middle of a block"},
		{"nothing says the interface", []string{"replay", good, unnamed}, 1, "--in NAME"},
		{"--in says it", []string{"replay", good, unnamed, "--in", "lan0"}, 0, ""},
		{"--in is not there", []string{"replay", good, unnamed, "--in", "lan9"}, 2, "lan9"},
		{"two things to standard output", []string{"replay", good, cap, "-w", "-", "--json", "-"}, 2, "standard output"},
		{"a file that cannot be made", []string{"replay", good, cap, "--json", good + "/no/file"}, 1, "no such file"},
		{"check", []string{"check", good + "/rules.v4"}, 0, ""},
		{"check of rules that fit together badly", []string{"check", clash + "/rules.v4"}, 1, "rules.v4:4:13: --label"},
		{"check of a bad file", []string{"check", bad + "/rules.v4"}, 1, "rules.v4:2:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, stderr := weir(t, c.args...)
			if code != c.code || !strings.Contains(stderr, c.err) || c.code == 0 && stderr != "" {
				t.Errorf("exit %d, want %d; %s%s", code, c.code, stderr, out)
			}
		})
	}
}

func TestWhatWasReadableIsReplayed(t *testing.T) {
	cut := captureFile(t, "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4", "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4")
	b, err := os.ReadFile(cut)
	if err != nil || os.WriteFile(cut, b[:len(b)-10], 0o600) != nil {
		t.Fatal(err)
	}
	code, out, _ := weir(t, "replay", machineDir(t, nil), cut, "--json", "-", "--conntrack", "-")
	if code != 1 || strings.Count(out, `"verdict":"forward"`) != 1 || !strings.Contains(out, "sport=4000") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// traffic is a few packets of each kind.
var traffic = []string{
	"lan0 udp 192.0.2.10:4000 > 198.51.100.1:53 len=4",
	"+1ms wan0 udp 198.51.100.1:53 > 203.0.113.2:4000 len=60",
	"+1ms lan0 tcp 192.0.2.10:4000 > 198.51.100.1:80 S",
	"+1ms lan0 icmp 192.0.2.10 > 192.0.2.1 echo id=1 seq=1 len=8",
	"+3s lan0 udp 192.0.2.10:4001 > 198.51.100.1:53 len=2000 frag=7/1480",
	"+1ms local udp 203.0.113.2:5000 > 198.51.100.1:53 len=4",
}

func TestReplayWritesEverything(t *testing.T) {
	dir, cap := machineDir(t, map[string]string{"sysctl.conf": "net.netfilter.nf_conntrack_acct = 1\n"}), captureFile(t, traffic...)
	outputs := []string{"--json", "-w", "--conntrack", "--expect", "--events", "--save", "--save6", "--stats"}
	once := func(more ...string) map[string]string {
		d := t.TempDir()
		args := append([]string{"replay", dir, cap}, more...)
		for _, o := range outputs {
			args = append(args, o, filepath.Join(d, strings.Trim(o, "-")))
		}
		if code, out, err := weir(t, args...); code != 0 || out != "" || err != "" {
			t.Fatalf("exit %d: %s%s", code, out, err)
		}
		got := map[string]string{}
		for _, o := range outputs {
			b, err := os.ReadFile(filepath.Join(d, strings.Trim(o, "-")))
			if err != nil {
				t.Fatal(err)
			}
			got[o] = string(b)
		}
		return got
	}
	first := once()
	for _, more := range [][]string{{}, {"--workers", "2"}, {"--workers=4"}} {
		again := once(more...)
		for _, o := range outputs {
			if again[o] != first[o] {
				t.Errorf("%v: %s differs:\n%s\n%s", more, o, first[o], again[o])
			}
		}
	}
	var verdicts []string
	for _, l := range strings.Split(strings.TrimSpace(first["--json"]), "\n") {
		_, v, _ := strings.Cut(l, `"verdict":"`)
		v, _, _ = strings.Cut(v, `"`)
		verdicts = append(verdicts, v)
	}
	if got, want := strings.Join(verdicts, " "), "forward forward drop local held forward output"; got != want {
		t.Errorf("verdicts %s, want %s", got, want)
	}
	for o, part := range map[string]string{
		"--conntrack": "ipv4     2 udp      17 ", "--events": "[NEW] ipv4     2 udp      17 30 src=192.0.2.10",
		"--save": "-A FORWARD -i lan0 -p udp -j ACCEPT", "--stats": "insert_failed=0",
	} {
		if !strings.Contains(first[o], part) {
			t.Errorf("%s lacks %q:\n%s", o, part, first[o])
		}
	}
	if late := once("--at", "1000")["--conntrack"]; strings.TrimSpace(late) != "" {
		t.Errorf("after 1000 seconds there is still\n%s", late)
	}
}

func TestTraceOfPackets(t *testing.T) {
	dir := machineDir(t, nil)
	code, out, err := weir(t, "trace", dir, "--packet", "lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S", "--packet", "+1s lan0 udp 192.0.2.10:4000 > 198.51.100.1:53")
	if code != 0 || err != "" {
		t.Fatalf("exit %d: %s", code, err)
	}
	for _, part := range []string{
		"DROP    #1   +0.000000s  filter/FORWARD policy   tcp 192.0.2.10:4000 > 198.51.100.1:443 [S]   in lan0 out wan0   ct NEW",
		"FORWARD #2   +1.000000s", "rules.v4:12  no: --ctstate RELATED,ESTABLISHED", "rules.v4:13  no: -p udp (is tcp)", "decided here", "udp 203.0.113.2:4000 > 198.51.100.1:53",
	} {
		if !strings.Contains(out, part) {
			t.Errorf("lacks %q", part)
		}
	}
	if t.Failed() || strings.Contains(out, "\x1b") {
		t.Log(out)
	}
	_, json, _ := weir(t, "trace", dir, "--json", "-", "--only", "verdict==drop", "--packet", "lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S", "--packet", "lan0 udp 192.0.2.10:4000 > 198.51.100.1:53")
	if strings.Count(json, "\n") != 1 || !strings.Contains(json, `"steps":[{`) || !strings.Contains(json, `"match":false,"failed":"-p udp"`) {
		t.Errorf("JSON: %s", json)
	}
}

func TestPipelineIsOneScreen(t *testing.T) {
	code, out, err := weir(t, "trace", "--pipeline")
	if code != 0 || err != "" || strings.Count(out, "\n") > 40 || !strings.Contains(out, "PREROUTING") || !strings.Contains(out, "confirm") {
		t.Errorf("exit %d %s\n%s", code, err, out)
	}
}

func TestCompletionKnowsEveryVerb(t *testing.T) {
	for _, sh := range []string{"bash", "zsh", "fish"} {
		code, out, _ := weir(t, "completion", sh)
		for _, v := range []string{"replay", "trace", "check", "snapshot", "version", "completion", "conntrack"} {
			if code != 0 || !strings.Contains(out, v) {
				t.Errorf("%s: exit %d, lacks %s", sh, code, v)
			}
		}
	}
	if code, _, _ := weir(t, "completion", "csh"); code != 2 {
		t.Errorf("csh: exit %d", code)
	}
}

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"weir/capture"
)

// replayWorker measures the command itself: weir replay of a capture that is
// in the page cache, CPU time of the whole process, its start included.
type replayWorker struct {
	dir     string
	packets int
}

// replayPackets is the length of the capture. Its packets are those of the
// other workloads: flows are opened, and then chosen at random.
const replayPackets = 5_000_000

// The workload and its variants.
const (
	loadReplay  = "replay"
	replayPlain = "weir"
	replayWrite = "weir, writes what leaves"
)

func (w *replayWorker) prepare(q request) reply {
	err := w.make(q)
	if err != nil {
		w.close()
		if why, ok := skipReason(err); ok {
			return reply{Skip: why}
		}
		return reply{Error: err.Error()}
	}
	return reply{Version: (&weirSubject{}).Version(), Variants: []string{replayPlain, replayWrite}}
}

func (w *replayWorker) make(q request) (err error) {
	if w.dir, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", w.path("weir"), "./cmd/weir")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return errSkip{fmt.Sprintf("the command does not build: %v %s", err, out)}
	}
	for name, text := range map[string]string{
		"machine.yaml": "interfaces:\n  - {name: lan0, addresses: [10.0.0.1/8]}\n  - {name: wan0, addresses: [203.0.113.2/24]}\nroutes:\n  - {to: 0.0.0.0/0, via: 203.0.113.1, dev: wan0}\n",
		"rules.v4":     GatewayText(MixedRules(q.Rules)),
		"sysctl.conf":  fmt.Sprintf("net.ipv4.ip_forward = 1\nnet.netfilter.nf_conntrack_max = %d\n", q.Flows+q.Flows/8+1024),
	} {
		if err := os.WriteFile(w.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	w.packets = max(replayPackets, 4*q.Flows)
	return w.capture(q.Flows)
}

// capture writes the capture.
func (w *replayWorker) capture(flows int) (err error) {
	f, err := os.Create(w.path("capture.pcapng"))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	buf := bufio.NewWriterSize(f, 1<<20)
	ng, err := capture.NewWriter(buf)
	if err != nil {
		return err
	}
	var b [packetLen]byte
	r, now := random(1), int64(1_700_000_000e9)
	names := [2]string{Outward: "lan0", Inward: "wan0"}
	for i := range w.packets {
		at, way, kind := i/3, Outward, Data
		if i >= 3*flows {
			at, way = r.below(flows), Way(r.next()>>63)
		} else if i%3 < 2 {
			way, kind = Way(i%3), Opening
		}
		fl := FlowAt(uint32(at))
		fl.Build(b[:], way, kind, wanAddr, fl.ClientPort, uint32(i/4096))
		now += step
		if err := ng.Packet(names[way], now, b[:], ""); err != nil {
			return err
		}
	}
	return buf.Flush()
}

func (w *replayWorker) path(name string) string { return filepath.Join(w.dir, name) }

func (w *replayWorker) measure(q request) reply {
	args := []string{"replay", w.dir, w.path("capture.pcapng")}
	if q.Variant == replayWrite {
		args = append(args, "-w", w.path("out.pcapng"))
	}
	cmd := exec.Command(w.path("weir"), args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return reply{Error: fmt.Sprintf("weir replay: %v: %s", err, out)}
	}
	var n, left int
	if q.Variant == replayPlain {
		if _, err := fmt.Sscanf(string(out), "%d packets\n forward %d", &n, &left); err != nil || n != w.packets || left != n {
			return reply{Error: fmt.Sprintf("weir replay: not every packet left: %s", out)}
		}
	}
	t := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	ns := float64(t.Nanoseconds()) / float64(w.packets)
	return reply{NS: ns, ProcessNS: ns, Packets: w.packets}
}

func (w *replayWorker) close() {
	if w.dir != "" {
		os.RemoveAll(w.dir)
	}
	*w = replayWorker{}
}

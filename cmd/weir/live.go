package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"weir/conntrack/verbs"
	"weir/control"
	"weir/gateway"
)

// controlEnv and controlFile name the socket of a running weir to the verbs
// that talk to it: in the environment, or in a file beside a program that is a
// link to weir.
const (
	controlEnv  = "WEIR_CONTROL"
	controlFile = "control"
)

// liveFlags is what the verbs that talk to a running weir share.
type liveFlags struct {
	Control string `placeholder:"PATH" help:"Socket of the running weir (default: WEIR_CONTROL, weir.sock in XDG_RUNTIME_DIR, or /run/weir.sock)."`
}

func (f *liveFlags) client() *control.Client {
	if f.Control != "" {
		return control.NewClient(f.Control)
	}
	return control.NewClient(controlPath(""))
}

// controlPath is the socket for a program called argv0, which is empty for weir
// itself.
func controlPath(argv0 string) string {
	if p := os.Getenv(controlEnv); p != "" {
		return p
	}
	if argv0 != "" {
		if path, err := exec.LookPath(argv0); err == nil {
			if b, err := os.ReadFile(filepath.Join(filepath.Dir(path), controlFile)); err == nil {
				return strings.TrimSpace(string(b))
			}
		}
	}
	return control.DefaultPath()
}

// interrupted is a context that ends with Ctrl-C or SIGTERM.
func interrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// liveTool is weir as iptables, ipset … of a running weir; args is the whole
// command line.
func liveTool(e *env, path string, args []string) int {
	ctx, stop := interrupted()
	defer stop()
	name := filepath.Base(args[0])
	if name == "conntrack" {
		if cmd, bad := verbs.Parse(args[1:], nil); bad == nil && cmd.Listens() {
			return liveEvents(ctx, e, control.NewClient(path), cmd, args)
		}
	}
	a, err := control.NewClient(path).Run(ctx, control.Call{Program: name, Args: args[1:]}, e.stdin)
	if err != nil {
		fmt.Fprintf(e.stderr, "%s: %s\n", name, plain(err))
		if errors.Is(err, control.ErrNotRunning) {
			return exitLocked
		}
		return exitFailed
	}
	e.stdout.Write(a.Stdout)
	e.stderr.Write(a.Stderr)
	return a.Status
}

// liveEvents is conntrack -E of a running weir. Events end with Ctrl-C.
func liveEvents(ctx context.Context, e *env, c *control.Client, cmd *verbs.Command, args []string) int {
	n := 0
	p := cmd.Printer()
	word := "conntrack"
	if cmd.Table == verbs.Expectations {
		word = "expect"
	}
	var b []byte
	err := c.Lines(ctx, "/v1/conntrack/events", url.Values{"arg": args[1:]}, func(l []byte) error {
		var missed struct {
			Lost uint64 `json:"lost"`
		}
		switch {
		case len(l) == 0:
			return nil
		case bytes.HasPrefix(l, []byte(`{"lost"`)) && json.Unmarshal(l, &missed) == nil:
			fmt.Fprintf(e.stderr, "%s: %d events were lost: they came faster than they could be read\n", args[0], missed.Lost)
			return nil
		}
		b = b[:0]
		if n++; n == 1 {
			b = append(b, p.Head(word)...)
		}
		_, err := e.stdout.Write(append(append(b, l...), '\n'))
		return err
	})
	if n > 0 {
		io.WriteString(e.stdout, p.Tail(word))
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "%s: %s\n", args[0], plain(err))
		return exitFailed
	}
	e.stderr.Write(cmd.Shown(n))
	return 0
}

// programCmd is a verb that is one of the programs.
type programCmd struct {
	Args []string `arg:"" optional:"" help:"Its own arguments; --control PATH may stand in front of them."`
}

func (c *programCmd) run(e *env, name string) error {
	path, args := controlPath(""), c.Args
	if len(args) > 0 {
		if p, ok := strings.CutPrefix(args[0], "--control="); ok {
			path, args = p, args[1:]
		} else if args[0] == "--control" && len(args) > 1 {
			path, args = args[1], args[2:]
		}
	}
	if n := liveTool(e, path, append([]string{name}, args...)); n != 0 {
		return exitStatus(n)
	}
	return nil
}

type (
	iptablesCmd         struct{ programCmd }
	iptablesSaveCmd     struct{ programCmd }
	iptablesRestoreCmd  struct{ programCmd }
	ip6tablesCmd        struct{ programCmd }
	ip6tablesSaveCmd    struct{ programCmd }
	ip6tablesRestoreCmd struct{ programCmd }
	ipsetCmd            struct{ programCmd }
)

// Run runs the program on the running weir.
func (c *iptablesCmd) Run(e *env) error { return c.run(e, "iptables") }

// Run runs the program on the running weir.
func (c *iptablesSaveCmd) Run(e *env) error { return c.run(e, "iptables-save") }

// Run runs the program on the running weir.
func (c *iptablesRestoreCmd) Run(e *env) error { return c.run(e, "iptables-restore") }

// Run runs the program on the running weir.
func (c *ip6tablesCmd) Run(e *env) error { return c.run(e, "ip6tables") }

// Run runs the program on the running weir.
func (c *ip6tablesSaveCmd) Run(e *env) error { return c.run(e, "ip6tables-save") }

// Run runs the program on the running weir.
func (c *ip6tablesRestoreCmd) Run(e *env) error { return c.run(e, "ip6tables-restore") }

// Run runs the program on the running weir.
func (c *ipsetCmd) Run(e *env) error { return c.run(e, "ipset") }

// controlled is a gateway as the control socket sees it.
type controlled struct{ *gateway.Gateway }

// Reload implements control.Reloader.
func (c controlled) Reload() error { return errors.Join(c.Gateway.Reload()...) }

// Devices implements control.Devices.
func (c controlled) Devices() []control.Device {
	list := []control.Device{}
	for _, s := range c.Stats() {
		list = append(list, control.Device{
			Name: s.Iface, Device: s.Device, Up: s.Device != "", RxPackets: s.RxPackets, RxBytes: s.RxBytes,
			TxPackets: s.TxPackets, TxBytes: s.TxBytes, TxDropped: s.TxDropped, Reopened: s.Reopened,
		})
	}
	return list
}

// openControl makes the socket of a gateway that runs. A path that nobody
// chose may be in use: then there is no socket, and the log says so.
func openControl(path string, log *slog.Logger) (net.Listener, error) {
	chosen := path != ""
	if !chosen {
		path = controlPath("")
	}
	l, err := control.Listen(path)
	switch {
	case err == nil:
		log.Info("control socket", "path", path)
	case !chosen:
		log.Warn("no control socket", "error", plain(err))
		return nil, nil
	}
	return l, err
}

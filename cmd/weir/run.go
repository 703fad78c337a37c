package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"weir/control"
	"weir/gateway"
	"weir/sandbox"
)

type runCmd struct {
	Machine  string   `arg:"" help:"Machine directory; each interface of its machine.yaml has a link."`
	Command  []string `arg:"" optional:"" passthrough:"" help:"With --userns: the program and its arguments, behind --."`
	Userns   bool     `help:"As an ordinary user: in namespaces of its own, where the command is at the other end of the first interface."`
	Queues   int      `help:"Queues of each device; 0 is one for each CPU." default:"0"`
	State    string   `placeholder:"FILE" help:"Write the connections there every few seconds, and begin with those that are there."`
	Takeover bool     `help:"Take devices and connections from the weir that runs with the same control socket, which then ends."`
	Sandbox  string   `enum:"auto,must,off" default:"auto" help:"Give up privileges when the devices are open: as far as the system can (auto), all of them or end (must), or not (off)."`
	watchFlags
}

func (runCmd) Help() string {
	return `Carries real packets: weir is the router, the firewall and the NAT that the machine directory describes, until SIGTERM or Ctrl-C. Each interface of machine.yaml says where its packets are:

  interfaces:
    - {name: lan0, addresses: [192.0.2.1/24], link: tun}
    - {name: wan0, addresses: [203.0.113.2/24], link: "tun:up0"}

Nothing is forwarded before the rules are loaded; the devices are brought up after that. SIGHUP reads the directory again: rules, routes and addresses are swapped whole, between packets, or, if anything is wrong, stay as they are. Opening devices needs root or CAP_NET_ADMIN.

With --userns an ordinary user tries a machine whose links are all "tun": the command runs in a network namespace whose only way out is the first interface, the other interfaces lead to a second namespace that has the addresses of the gateways. It needs ip(8).

Examples:
  weir run /etc/weir
  weir run --userns examples/gateway -- ping -c3 203.0.113.1
  weir run --userns examples/gateway -- bash`
}

// seal gives up what a running gateway does not need.
func (c *runCmd) seal(log *slog.Logger) error {
	r := sandbox.Enter(sandbox.Policy{Read: []string{c.Machine}, Write: c.allWritten(), Remove: c.removed()})
	log.Info("sandbox", "capabilities_dropped", r.Capabilities, "landlock", r.Landlock, "seccomp", r.Seccomp)
	for _, m := range r.Missing {
		if c.Sandbox == "must" {
			return fmt.Errorf("sandbox: %s", m)
		}
		log.Warn("sandbox is not whole", "missing", m)
	}
	return nil
}

// allWritten are the directories of all files that a gateway writes.
func (c *runCmd) allWritten() []string {
	dirs := c.written()
	if c.State != "" {
		dirs = append(dirs, filepath.Dir(c.State))
	}
	return dirs
}

// handover opens the socket beside the control socket at which a successor asks,
// or with --takeover the way to the predecessor, which keeps its socket until it
// has ended.
func (c *runCmd) handover(o *gateway.Options, log *slog.Logger) (net.Listener, error) {
	path := c.socket()
	if !c.Takeover {
		if path == "" {
			return nil, nil
		}
		return listenHandover(path, log), nil
	}
	if path == "" {
		return nil, usagef("run: --takeover needs a control socket")
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path + handoverSuffix, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("no weir to take over from: %w", err)
	}
	o.Takeover = conn
	return nil, nil
}

// handoverSuffix makes the path of the socket for successors of that of the
// control socket.
const handoverSuffix = ".handover"

// listenHandover waits for successors; nil if it cannot.
func listenHandover(path string, log *slog.Logger) net.Listener {
	l, err := control.Listen(path + handoverSuffix)
	if err != nil {
		log.Warn("no successor can take over", "error", plain(err))
		return nil
	}
	return l
}

// Run carries packets until a signal.
func (c *runCmd) Run(e *env) (err error) {
	var u *userns
	switch {
	case c.Userns:
		if done, err := c.usernsStage(e); done {
			return err
		}
		if u, err = c.startUserns(e); err != nil {
			return err
		}
	case len(c.Command) > 0:
		return usagef("run: a command goes with --userns")
	}
	log := c.logger(e.stderr)
	if u != nil {
		log = slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})) // the terminal is the command's
	}
	j, closeJournal, err := c.journal(log)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := closeJournal(); err == nil {
			err = cerr
		}
	}()
	systemd := dialNotify()
	o := gateway.Options{Logger: log, Queues: c.Queues, Log: j, Ready: func() { systemd.say("READY=1") }}
	if c.Sandbox != "off" {
		o.Opened = func() error { return c.seal(log) }
	}
	if u != nil {
		o.Devices, o.Ready = u.devices, u.ready
		o.Opened = func() error {
			if err := u.opened(); err != nil || c.Sandbox == "off" {
				return err
			}
			return c.seal(log)
		}
	}
	o.State = c.State
	successors, err := c.handover(&o, log)
	if err != nil {
		return err
	}
	o.Handover = func() net.Listener { return successors }
	after := func() {}
	if o.Takeover != nil {
		defer o.Takeover.Close()
		o.Opened, o.Ready = nil, func() { after() }
	}
	g, errs := gateway.New(c.Machine, o)
	if len(errs) > 0 {
		return errorList(errs)
	}
	ends := []os.Signal{syscall.SIGTERM}
	if u == nil {
		ends = append(ends, os.Interrupt) // else it is the command's
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				for _, err := range g.Reload() {
					log.Error("not reloaded", "error", plain(err))
				}
			}
		}
	}()
	ctx, end := context.WithCancel(ctx)
	wait := func() {}
	if o.Takeover == nil {
		if wait, err = c.serve(ctx, g, j, log); err != nil {
			end()
			return err
		}
	} else {
		after = func() {
			// The predecessor's sockets are gone when it is.
			_ = o.Takeover.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.Copy(io.Discard, o.Takeover)
			w, err := c.serve(ctx, g, j, log)
			if err != nil {
				log.Error("not watched", "error", err)
			} else {
				wait = w
			}
			successors = listenHandover(c.socket(), log)
			systemd.say("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid()))
			if c.Sandbox != "off" {
				if err := c.seal(log); err != nil {
					log.Error("ending", "error", err)
					end()
				}
			}
		}
	}
	go watchdog(ctx, g, systemd)
	if u != nil {
		go func() {
			u.status = statusOf(<-u.ended)
			stop()
		}()
	}
	if err = g.Run(ctx); err == nil && u != nil {
		<-ctx.Done()
		err = u.status
	}
	systemd.say("STOPPING=1")
	end()
	wait()
	return err
}

package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"weir/control"
)

type statusCmd struct {
	liveFlags
	JSON bool `name:"json" help:"As JSON."`
}

func (statusCmd) Help() string {
	return `Examples:
  weir status
  weir status --json | jq .connections`
}

// Run prints the state of the running weir.
func (c *statusCmd) Run(e *env) error {
	ctx, stop := interrupted()
	defer stop()
	if c.JSON {
		return c.client().Text(ctx, "/v1/status", nil, e.stdout)
	}
	var s control.Status
	if err := c.client().Get(ctx, "/v1/status", nil, &s); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "weir %s, up %s\n", s.Version, s.Now.Sub(s.Started).Round(time.Second))
	limit := "no limit"
	if s.Max > 0 {
		limit = fmt.Sprintf("of %d, %.1f %%", s.Max, 100*float64(s.Connections)/float64(s.Max))
	}
	fmt.Fprintf(e.stdout, "connections  %d (%s), %d expected\n", s.Connections, limit, s.Expects)
	fmt.Fprintf(e.stdout, "rules        %d IPv4, %d IPv6\n", s.Rules4, s.Rules6)
	fmt.Fprintf(e.stdout, "memory       %d MiB\n", s.Memory>>20)
	for _, a := range s.Alarms {
		fmt.Fprintf(e.stdout, "alarm        %s: %s, %.1f %%, since %s\n", a.Level, a.Name, 100*a.Share, a.Since.Format(time.RFC3339))
	}
	for _, d := range s.Drops {
		fmt.Fprintf(e.stdout, "dropped      %d %s\n", d.Count, d.Name)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "interface\tstate\tmtu\taddresses")
	for _, i := range s.Interfaces {
		state := "down"
		if i.Up {
			state = "up"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t", i.Name, state, i.MTU)
		for k, a := range i.Addresses {
			if k > 0 {
				fmt.Fprint(w, " ")
			}
			fmt.Fprint(w, a)
		}
		fmt.Fprintln(w)
	}
	if len(s.Devices) > 0 {
		fmt.Fprintln(w, "device\tsystem's\treceived\tbytes\tsent\tbytes\tnot sent")
		for _, d := range s.Devices {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", d.Name, d.Device, d.RxPackets, d.RxBytes, d.TxPackets, d.TxBytes, d.TxDropped)
		}
	}
	return w.Flush()
}

type natCmd struct {
	liveFlags
	External netip.Addr `placeholder:"ADDR" help:"Only this external address."`
	Port     uint16     `placeholder:"PORT" help:"Say which connections hold this port of the external address."`
	Limit    int        `default:"20" placeholder:"N" help:"How many peers are shown (default 20)."`
	JSON     bool       `name:"json" help:"As JSON."`
}

func (natCmd) Help() string {
	return `Shows how many ports the external addresses of translated connections use. A port is taken for one protocol, peer and port of the peer at a time, so that each peer has the whole range; the fullest stand first.

Examples:
  weir nat
  weir nat --external 203.0.113.2 --port 40000`
}

// Run prints the use of ports.
func (c *natCmd) Run(e *env) error {
	ctx, stop := interrupted()
	defer stop()
	q := url.Values{"limit": {strconv.Itoa(c.Limit)}}
	if c.External.IsValid() {
		q.Set("external", c.External.String())
	}
	path := "/v1/nat"
	if c.Port != 0 {
		if !c.External.IsValid() {
			return usagef("nat: --port wants --external")
		}
		path = "/v1/nat/holder"
		q.Set("port", strconv.Itoa(int(c.Port)))
	}
	if c.JSON {
		return c.client().Text(ctx, path, q, e.stdout)
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	if c.Port != 0 {
		var list []control.Conn
		if err := c.client().Get(ctx, path, q, &list); err != nil {
			return err
		}
		fmt.Fprintln(w, "protocol\tstate\tseconds left\tinside\tpeer")
		for _, x := range list {
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", x.Protocol, x.State, x.Timeout,
				netip.AddrPortFrom(x.Original.Src, x.Original.SrcPort), netip.AddrPortFrom(x.Reply.Src, x.Reply.SrcPort))
		}
		return w.Flush()
	}
	var u control.NATUse
	if err := c.client().Get(ctx, path, q, &u); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%d connections have their source translated\n", u.Connections)
	if u.Connections == 0 {
		return nil
	}
	fmt.Fprintln(w, "external\tprotocol\tconnections\tpeers\tfullest")
	for _, a := range u.Addresses {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.1f %%\n", a.External, a.Protocol, a.Connections, a.Peers, 100*a.Fullest)
	}
	w.Flush()
	fmt.Fprintln(w, "external\tprotocol\tpeer\tports\tof the range")
	for _, p := range u.Peers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.1f %%\n", p.External, p.Protocol, netip.AddrPortFrom(p.Peer, p.PeerPort), p.Used, 100*p.Share)
	}
	if u.Uncounted > 0 {
		fmt.Fprintf(w, "(%d connections in further groups)\n", u.Uncounted)
	}
	return w.Flush()
}

type topCmd struct {
	liveFlags
	By    string        `enum:"src,dst,service" default:"src" placeholder:"WHAT" help:"src, dst, or service (destination and port); default src."`
	Limit int           `default:"20" placeholder:"N" help:"How many are shown (default 20)."`
	Every time.Duration `default:"2s" placeholder:"TIME" help:"Time between two looks (default 2s)."`
	Once  bool          `help:"Look once, and end."`
}

func (topCmd) Help() string {
	return `Shows who moves the most, by the connections that live now. Bytes are counted with net.netfilter.nf_conntrack_acct=1 only; without it connections are.

Examples:
  weir top
  weir top --by service --once`
}

// Run prints tables until it is interrupted.
func (c *topCmd) Run(e *env) error {
	ctx, stop := interrupted()
	defer stop()
	if c.Every < 100*time.Millisecond {
		return usagef("top: --every: at least 100ms")
	}
	client := c.client()
	q := url.Values{"by": {c.By}, "limit": {"1000"}}
	before, at := map[string]control.Talker{}, time.Time{}
	for {
		var t control.Talkers
		if err := client.Get(ctx, "/v1/top", q, &t); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		now := time.Now()
		if e.width > 0 && !c.Once {
			fmt.Fprint(e.stdout, "\x1b[H\x1b[2J")
		}
		if err := c.print(e, &t, before, now.Sub(at)); err != nil || c.Once {
			return err
		}
		clear(before)
		for _, x := range t.List {
			before[x.Name] = x
		}
		at = now
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
	}
}

// print prints one table; the rates are of the time since the one before.
func (c *topCmd) print(e *env, t *control.Talkers, before map[string]control.Talker, since time.Duration) error {
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	head := map[string]string{"src": "source", "dst": "destination", "service": "service"}[t.By]
	if !t.Accounting {
		fmt.Fprintf(w, "%s\tconnections\n", head)
	} else {
		fmt.Fprintf(w, "%s\tconnections\tpackets\tbytes\tbit/s\n", head)
	}
	for _, x := range t.List[:min(c.Limit, len(t.List))] {
		if !t.Accounting {
			fmt.Fprintf(w, "%s\t%d\n", x.Name, x.Connections)
			continue
		}
		rate := "-"
		if old, ok := before[x.Name]; ok && x.Bytes >= old.Bytes {
			rate = fmt.Sprintf("%.0f", 8*float64(x.Bytes-old.Bytes)/since.Seconds())
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", x.Name, x.Connections, x.Packets, x.Bytes, rate)
	}
	return w.Flush()
}

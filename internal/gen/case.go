package gen

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"

	"weir/internal/kernel"
)

// Write writes a case as text that Read reads.
func (c *Case) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "seed %d\n-- machine --\n", c.Seed)
	for _, i := range c.Machine.Ifaces {
		fmt.Fprintf(b, "iface %s %d", i.Name, i.MTU)
		for _, a := range i.Addrs {
			fmt.Fprintf(b, " %s", a)
		}
		fmt.Fprintln(b)
	}
	for _, r := range c.Machine.Routes {
		fmt.Fprintf(b, "route %s", r.To)
		for _, f := range []struct{ name, value string }{{"type", r.Type}, {"dev", r.Dev}} {
			if f.value != "" {
				fmt.Fprintf(b, " %s %s", f.name, f.value)
			}
		}
		if r.Via.IsValid() {
			fmt.Fprintf(b, " via %s", r.Via)
		}
		fmt.Fprintln(b)
	}
	keys := make([]string, 0, len(c.Machine.Sysctl))
	for k := range c.Machine.Sysctl {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(b, "sysctl %s %s\n", k, c.Machine.Sysctl[k])
	}
	fmt.Fprintf(b, "-- rules4 --\n%s\n-- rules6 --\n%s\n-- packets --\n", strings.TrimSpace(c.Rules4), strings.TrimSpace(c.Rules6))
	for _, p := range c.Packets {
		if p.After != 0 {
			fmt.Fprintf(b, "+%s ", p.After)
		}
		fmt.Fprintf(b, "%s %s\n", p.In, hex.EncodeToString(p.Data))
	}
	return b.Flush()
}

// Read reads what Write wrote.
func Read(r io.Reader) (*Case, error) {
	c := &Case{Machine: Machine{Sysctl: map[string]string{}}}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	section := ""
	for n := 1; s.Scan(); n++ {
		line := s.Text()
		if strings.HasPrefix(line, "-- ") && strings.HasSuffix(line, " --") {
			section = strings.TrimSuffix(strings.TrimPrefix(line, "-- "), " --")
			continue
		}
		if err := c.line(section, line); err != nil {
			return nil, fmt.Errorf("case: line %d: %w", n, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("case: %w", err)
	}
	return c, nil
}

func (c *Case) line(section, line string) (err error) {
	f := strings.Fields(line)
	if len(f) == 0 || f[0] == "#" {
		return nil
	}
	switch section {
	case "":
		if len(f) != 2 || f[0] != "seed" {
			return fmt.Errorf("%q is not a seed", line)
		}
		c.Seed, err = strconv.ParseUint(f[1], 10, 64)
	case "machine":
		err = c.machineLine(f)
	case "rules4":
		c.Rules4 += line + "\n"
	case "rules6":
		c.Rules6 += line + "\n"
	case "packets":
		var p Packet
		if after, ok := strings.CutPrefix(f[0], "+"); ok {
			if p.After, err = time.ParseDuration(after); err != nil {
				return err
			}
			f = f[1:]
		}
		if len(f) != 2 {
			return fmt.Errorf("%q is not a packet", line)
		}
		p.In = f[0]
		p.Data, err = hex.DecodeString(f[1])
		c.Packets = append(c.Packets, p)
	default:
		return fmt.Errorf("no section %q", section)
	}
	return err
}

func (c *Case) machineLine(f []string) (err error) {
	switch {
	case f[0] == "iface" && len(f) >= 3:
		i := kernel.Iface{Name: f[1]}
		if i.MTU, err = strconv.Atoi(f[2]); err != nil {
			return err
		}
		for _, a := range f[3:] {
			p, err := netip.ParsePrefix(a)
			if err != nil {
				return err
			}
			i.Addrs = append(i.Addrs, p)
		}
		c.Machine.Ifaces = append(c.Machine.Ifaces, i)
	case f[0] == "route" && len(f)%2 == 0:
		var r kernel.Route
		if r.To, err = netip.ParsePrefix(f[1]); err != nil {
			return err
		}
		for i := 2; i < len(f); i += 2 {
			switch f[i] {
			case "type":
				r.Type = f[i+1]
			case "dev":
				r.Dev = f[i+1]
			case "via":
				if r.Via, err = netip.ParseAddr(f[i+1]); err != nil {
					return err
				}
			default:
				return fmt.Errorf("route has no %q", f[i])
			}
		}
		c.Machine.Routes = append(c.Machine.Routes, r)
	case f[0] == "sysctl" && len(f) == 3:
		c.Machine.Sysctl[f[1]] = f[2]
	default:
		return fmt.Errorf("%q is not known", strings.Join(f, " "))
	}
	return nil
}

package replay

import (
	"weir/dnsset"
	"weir/engine"
	"weir/machine"
)

// Config is what the engine wants to know of a machine.
func Config(m *machine.Machine, seed uint64) engine.Config {
	var proc []engine.ProcFile
	for _, f := range m.Proc {
		proc = append(proc, engine.ProcFile{Dir: f.Dir, Name: f.Name, Text: engine.Text(f.File)})
	}
	return engine.Config{
		Proc: proc, Jiffies: m.Jiffies,
		Ifaces: m.Ifaces, Routes: m.Routes, Policy: m.Policy, Complete4: m.Complete4, Complete6: m.Complete6,
		Rules4: engine.Text(m.Rules4), Rules6: engine.Text(m.Rules6), Sets: engine.Text(m.IPSets),
		Connections: engine.Text(m.Connections), Labels: engine.Text(m.Labels), Accounts: engine.Text(m.Accounts), Timeouts: engine.Text(m.Timeouts),
		Fingerprints: engine.Text(m.Fingerprints),
		Users:        m.Users, Groups: m.Groups,
		Sysctl: m.Sysctl, Listen: m.Listen, Seed: seed, Setup: setup(m),
	}
}

// setup is what weir adds to a machine beyond Linux.
func setup(m *machine.Machine) func(*engine.Machine) []error {
	if m.Names.Text == nil {
		return nil
	}
	return func(e *engine.Machine) []error {
		c, errs := dnsset.Parse(m.Names.Name, m.Names.Text)
		if len(errs) > 0 {
			return errs
		}
		return dnsset.Watch(e, c)
	}
}

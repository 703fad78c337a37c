package unit

import (
	"os"

	"weir/engine"
	"weir/machine"
	"weir/replay"
	"weir/trace/render"
	"weir/xtables"
)

// Result is how a test ended.
type Result struct {
	File, Name string
	Pos        xtables.Pos
	// Packets is how many were run.
	Packets int
	// Fails is what was not as expected, in order; empty when the test passed.
	Fails []Fail
}

// Fail is an expectation that did not hold.
type Fail struct {
	Packet *Packet
	// Got says what became of the packet instead.
	Got string
	// Walk is the packet with its steps.
	Walk render.Packet
}

// Run runs the tests of a file, in order. dir stands for the machine that the
// file names unless it is empty. Errors are of the machine or its rules, or of
// packets that name an interface it does not have: then no test is run.
func (f *File) Run(dir string) ([]Result, []error) {
	m, errs := f.load(dir)
	if len(errs) > 0 {
		return nil, errs
	}
	if _, errs := engine.New(replay.Config(m, 1)); len(errs) > 0 {
		return nil, errs
	}
	var out []Result
	for i := range f.Tests {
		r, errs := f.Tests[i].run(m)
		if len(errs) > 0 {
			return nil, errs
		}
		r.File = f.Name
		out = append(out, r)
	}
	return out, nil
}

// load reads the machine and checks what the packets say of it.
func (f *File) load(dir string) (*machine.Machine, []error) {
	if dir == "" {
		dir = f.Machine
	}
	if dir == "" {
		return nil, []error{&xtables.Error{Pos: xtables.Pos{File: f.Name, Line: 1, Col: 1},
			Msg: "the file names no machine: machine PATH, or --machine"}}
	}
	m, errs := machine.Load(dir)
	if len(errs) > 0 {
		return nil, errs
	}
	for _, r := range []struct {
		name string
		to   *machine.File
	}{{f.Rules4, &m.Rules4}, {f.Rules6, &m.Rules6}} {
		if r.name == "" {
			continue
		}
		text, err := os.ReadFile(r.name)
		if err != nil {
			return nil, []error{err}
		}
		*r.to = machine.File{Name: r.name, Text: text}
	}
	for _, t := range f.Tests {
		for _, p := range t.Packets {
			if p.Line.In != machine.Local && m.Iface(p.Line.In) == nil {
				errs = append(errs, &xtables.Error{Pos: p.Pos, Msg: "the machine has no interface " + p.Line.In})
			}
		}
	}
	return m, errs
}

func (t *Test) run(m *machine.Machine) (Result, []error) {
	res := Result{Name: t.Name, Pos: t.Pos}
	eng, errs := engine.New(replay.Config(m, 1))
	if len(errs) > 0 {
		return res, errs
	}
	src := &replay.Lines{}
	var of []*Packet // by item; nil unless it is the last of its line
	for i := range t.Packets {
		p := &t.Packets[i]
		src.Add(p.Line)
		for len(of) < src.Len()-1 {
			of = append(of, nil)
		}
		of = append(of, p)
	}
	n := 0
	r := &replay.Runner{Machine: eng, Trace: true, Each: func(w *render.Packet) error {
		p := of[n]
		n++
		if p == nil || p.Want == nil {
			return nil
		}
		if msg := p.Want.fails(w); msg != "" {
			c := *w
			c.Data = append([]byte(nil), w.Data...)
			c.Out = nil
			for _, o := range w.Out {
				c.Out = append(c.Out, render.Out{Dev: o.Dev, Data: append([]byte(nil), o.Data...)})
			}
			c.Logs = append([]string(nil), w.Logs...)
			res.Fails = append(res.Fails, Fail{Packet: p, Got: msg, Walk: c})
		}
		return nil
	}}
	if err := r.Run(src); err != nil {
		return res, []error{err}
	}
	res.Packets = n
	return res, nil
}

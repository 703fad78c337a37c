package replay_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/conntrack/verbs"
	"weir/engine"
	"weir/machine"
	"weir/replay"
	"weir/trace/render"
)

// part is some packets of a source.
type part struct {
	src  replay.Source
	left int
}

func (p *part) Next(it *replay.Item) error {
	if p.left == 0 {
		return io.EOF
	}
	p.left--
	return p.src.Next(it)
}

// TestReplayFromTheMiddle replays half of each example, saves the connections,
// loads them into a new machine and replays the rest. What becomes of each packet
// must be the same as in one go.
func TestReplayFromTheMiddle(t *testing.T) {
	captures, err := filepath.Glob("../examples/*/*.pcapng")
	if err != nil || len(captures) == 0 {
		t.Fatal("no examples: ", err)
	}
	for _, name := range captures {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Dir(name)
			m, errs := machine.Load(dir)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			open := func() *replay.Capture {
				src, err := replay.NewCapture(bytes.NewReader(data), name, m)
				if err != nil {
					t.Fatal(err)
				}
				return src
			}
			run := func(eng *engine.Machine, src replay.Source) (list []string, r *replay.Runner) {
				r = &replay.Runner{Machine: eng, Each: func(p *render.Packet) error {
					s := fmt.Sprintf("%d %s %s", p.N, p.Verdict, p.Reason)
					for _, o := range p.Out {
						s += fmt.Sprintf(" %s:%x", o.Dev, o.Data)
					}
					list = append(list, s)
					return nil
				}}
				if err := r.Run(src); err != nil {
					t.Fatal(err)
				}
				return list, r
			}
			make := func(state string) *engine.Machine {
				cfg := replay.Config(m, 1)
				cfg.Connections = engine.Text{Name: "conntrack.save", Text: []byte(state)}
				eng, errs := engine.New(cfg)
				if len(errs) > 0 {
					t.Fatal(errs)
				}
				return eng
			}
			whole, _ := run(make(""), open())
			half := len(whole) / 2
			src := open()
			first := make("")
			_, r := run(first, &part{src, half})
			state := verbs.AppendState(nil, first.Conntrack(), nil, r.Last)
			rest, _ := run(make(string(state)), src)
			if len(rest) != len(whole)-half || half == 0 {
				t.Fatalf("%d packets of %d behind %d", len(rest), len(whole), half)
			}
			differ := 0
			// The limits of rules begin anew: they are no state of connections.
			limited := bytes.Contains(m.Rules4.Text, []byte("limit"))
			for i, got := range rest {
				if want := whole[half+i]; got != want {
					if differ++; !limited && differ < 5 {
						t.Errorf("in one go %s\nfrom the middle %s", want, got)
					}
				}
			}
			if limited && differ == 0 {
				t.Error("nothing differs: the limits need no excuse")
			}
			t.Logf("%d packets, %d connections in the state, %d differ", len(rest), strings.Count(string(state), "\n"), differ)
		})
	}
}

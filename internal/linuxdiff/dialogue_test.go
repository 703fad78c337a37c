package linuxdiff

import (
	"flag"
	"slices"
	"strings"
	"testing"

	"weir/internal/kernel"
)

var (
	dialogueCount = flag.Int("dialogues", 0, "play so many dialogues of each helper, family and setting")
	dialogueSeed  = flag.Uint64("dialogue-seed", 1, "seed of the first dialogue")
	dialogueOnly  = flag.String("dialogue", "", "names of the helpers to play, with commas; empty is all")
)

// dialogueKernels is one kernel for each setting and family, made when asked.
func dialogueKernel(t *testing.T) *kernel.Kernel {
	t.Helper()
	needKernel(t)
	m := extensionMachine()
	cfg := m.Config()
	cfg.Trace = true // for what helpers log
	k, err := kernel.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// TestHelpersDoAsLinux plays dialogues of every helper through the kernel and
// through weir: the first plain, the others mistreated. What leaves, the events,
// the connections and the expectations must be the same.
func TestHelpersDoAsLinux(t *testing.T) {
	k := dialogueKernel(t)
	n := 2
	if *dialogueCount > 0 {
		n = *dialogueCount
	}
	for _, d := range dialogues() {
		if *dialogueOnly != "" && !slices.Contains(strings.Split(*dialogueOnly, ","), d.name) {
			continue
		}
		family := " over IPv4"
		if d.v6 {
			family = " over IPv6"
		}
		t.Run(d.name+family, func(t *testing.T) {
			packets, expected, met, failed := 0, 0, 0, 0
			for _, s := range settings() {
				if d.quiet && (strings.Contains(s.nat4, "--random") || strings.Contains(s.nat4, "DNAT")) {
					continue
				}
				if err := k.Reload(d.rulesIn(&s)); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					seed := *dialogueSeed + uint64(i)
					p := &player{counts: i%8 == 0}
					if i > 0 {
						p.wild = []int{0, 15, 40, 5}[i%4]
					}
					diff, err := d.playIn(&s, k, p, seed)
					if err != nil {
						t.Fatal(err)
					}
					packets, expected, met = packets+len(p.played), expected+p.expected, met+p.met
					if diff == nil {
						continue
					}
					failed++
					if failed <= 2 {
						t.Errorf("%s, seed %d: %v%s", s.name, seed, diff, p.tail(diff.Packet))
					}
				}
			}
			if met == 0 {
				t.Error("no connection was expected: the dialogue is broken")
			}
			t.Logf("%d dialogues, %d packets, %d expected, %d met, %d differences", n*len(settings()), packets, expected, met, failed)
		})
	}
}

// tail is the last packets before a difference, for people.
func (p *player) tail(at int) string {
	s := ""
	for i := max(0, at-6); i <= at && i < len(p.played); i++ {
		s += "\n  " + p.played[i].In + " " + Brief(p.played[i].Data) + " " + printable(p.played[i].Data)
	}
	return s
}

func printable(b []byte) string {
	if len(b) > 40 {
		b = b[40:]
	}
	return strings.Map(func(r rune) rune {
		if r < 32 && r != '\r' && r != '\n' || r > 126 {
			return '.'
		}
		return r
	}, string(b[:min(len(b), 300)]))
}

// TestHelpersSeeCutCommandsAsLinux cuts each message of a dialogue at every
// byte: of one helper, or with -dialogues of all that read a stream.
func TestHelpersSeeCutCommandsAsLinux(t *testing.T) {
	k := dialogueKernel(t)
	for _, d := range dialogues() {
		if *dialogueCount == 0 && (d.name != "ftp" || d.v6) || !slices.Contains([]string{"ftp", "irc", "pptp", "sip over tcp", "sane"}, d.name) ||
			*dialogueOnly != "" && !slices.Contains(strings.Split(*dialogueOnly, ","), d.name) {
			continue
		}
		all := settings()
		s := &all[2]
		if err := k.Reload(d.rulesIn(s)); err != nil {
			t.Fatal(err)
		}
		played, packets := 0, 0
		for at := 1; ; at++ {
			longest := 0
			for cut := 1; cut == 1 || cut < longest; cut++ {
				p := &player{cutAt: at, cut: cut}
				diff, err := d.playIn(s, k, p, *dialogueSeed+uint64(at%3))
				if err != nil {
					t.Fatal(err)
				}
				played++
				packets += len(p.played)
				longest = p.longest
				if diff != nil {
					t.Fatalf("%s, message %d cut at %d: %v%s", d.name, at, cut, diff, p.tail(diff.Packet))
				}
			}
			if longest == 0 {
				break
			}
		}
		t.Logf("%s: %d dialogues, %d packets", d.name, played, packets)
	}
}

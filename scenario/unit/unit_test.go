package unit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/scenario/unit"
)

// TestThePageShowsWhatWorks runs the tests that docs/testing-rules.md shows.
func TestThePageShowsWhatWorks(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "testing-rules.md")
	src, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(src), "```test\n")
	if len(parts) < 4 {
		t.Fatalf("%s shows %d files of tests", page, len(parts)-1)
	}
	for i, p := range parts[1:] {
		text, _, ok := strings.Cut(p, "```\n")
		if !ok {
			t.Fatal("a block has no end")
		}
		f, errs := unit.Parse(page, []byte(text))
		for _, err := range errs {
			t.Errorf("block %d: %v", i+1, err)
		}
		res, errs := f.Run("")
		for _, err := range errs {
			t.Errorf("block %d: %v", i+1, err)
		}
		for _, r := range res {
			for _, f := range r.Fails {
				t.Errorf("block %d, %s: %s\n expected %s\n got %s", i+1, r.Name, f.Packet.Text, f.Packet.Want.Text, f.Got)
			}
		}
	}
}

// TestTheExamplesHold runs the tests of the examples.
func TestTheExamplesHold(t *testing.T) {
	for _, name := range []string{"egress", "customers"} {
		file := filepath.Join("..", "..", "examples", name, name+".test")
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, errs := unit.Parse(file, src)
		res, more := f.Run("")
		for _, err := range append(errs, more...) {
			t.Error(err)
		}
		for _, r := range res {
			for _, f := range r.Fails {
				t.Errorf("%s: %s\n expected %s\n got %s", r.Name, f.Packet.Text, f.Packet.Want.Text, f.Got)
			}
		}
		if len(res) < 4 {
			t.Errorf("%s: %d tests ran", name, len(res))
		}
	}
}

func TestWhatIsNotAsExpectedIsSaid(t *testing.T) {
	const web = "lan0 tcp 192.0.2.10:4000 > 198.51.100.1:443 S"
	const ssh = "wan0 tcp 198.51.100.1:4000 > 203.0.113.2:22 S"
	for _, c := range []struct{ name, packet, want, got string }{
		{"another fate names who decided", ssh, "forward", "drop by filter/INPUT policy"},
		{"an interface", web, "forward out lan0", "it left by wan0"},
		{"nothing that left", ssh, "drop out lan0", "nothing left"},
		{"a source", web, "forward src 203.0.113.3", "src of what left is 203.0.113.2"},
		{"a port", web, "pass dst 198.51.100.1:80", "dst of what left is 198.51.100.1:443"},
		{"the rule", web, "pass by filter/FORWARD:1", "it was decided by nat/POSTROUTING:1"},
		{"a policy instead of a rule", ssh, "blocked by filter/INPUT:1", "it was decided by filter/INPUT policy"},
		{"the state", web, "pass ct ESTABLISHED", `connection tracking says "NEW #1"`},
		{"the reason", ssh, "drop reason rule", `the reason is "policy"`},
		{"an answer", ssh, "drop with tcp-reset", "there is no answer"},
		{"the log", ssh, `drop log "x"`, "no line of the log has it"},
		{"nothing to complain about", ssh, "blocked reason policy", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := "machine ../../examples/home-router\ntest x\n" + c.packet + "\n -> " + c.want + "\n"
			f, errs := unit.Parse("x.test", []byte(src))
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			res, errs := f.Run("")
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			got := ""
			if len(res[0].Fails) > 0 {
				got = res[0].Fails[0].Got
			}
			if !strings.HasPrefix(got, c.got) || c.got == "" && got != "" {
				t.Errorf("got %q, want %q", got, c.got)
			}
		})
	}
}

func TestErrorsOfTheTextHaveAPlace(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a word too many", "test x\nlan0 tcp 192.0.2.1:1 > 192.0.2.2:2 S\n  -> forward by\n", "x.test:3:14: by needs a value"},
		{"an unknown fate", "test x\nlan0 tcp 192.0.2.1:1 > 192.0.2.2:2 S\n-> fly\n", `x.test:3:4: no fate is called "fly"`},
		{"no packet", "test x\n-> drop\n", "x.test:2:1: no packet stands before this"},
		{"a bad packet", "test x\n  lan0 tcp 192.0.2.1:1 > 192.0.2.2:2 X\n", "x.test:2:38: 'X' is not a TCP flag"},
		{"nothing expected", "test x\nlan0 tcp 192.0.2.1:1 > 192.0.2.2:2 S\n", "x.test:1:1: the test expects nothing"},
		{"a machine too late", "test x\nmachine y\n", "x.test:2:1: machine stands before the first test"},
		{"something else", "hello\n", "x.test:1:1: expected machine"},
		{"an open quote", "test x\nlan0 tcp 192.0.2.1:1 > 192.0.2.2:2 S\n-> drop log \"x\n", "x.test:3:13: this quote is not closed"},
		{"an empty file", "# nothing\n", "x.test:1:1: the file has no test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := unit.Parse("x.test", []byte(c.text))
			if len(errs) == 0 || !strings.HasPrefix(errs[0].Error(), c.want) {
				t.Errorf("got %v, want %s", errs, c.want)
			}
		})
	}
}

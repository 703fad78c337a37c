package verbs_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestCommandsAreThoseOfIptables runs the same command lines through iptables
// and weir: outputs, messages, exit statuses and the rules at the end are equal.
func TestCommandsAreThoseOfIptables(t *testing.T) {
	script := strings.Split(strings.TrimSpace(commands), "\n")
	namespace(t, func() {
		var o ours
		for _, l := range script {
			l, own := strings.CutPrefix(l, "~ ")
			compare(t, &o, "iptables", words(l), "", own)
		}
		compareRules(t, &o)
	})
}

// TestRandomCommandsEndInTheSameRules does so for commands taken at random.
func TestRandomCommandsEndInTheSameRules(t *testing.T) {
	n := 0
	for seed := uint64(1); seed <= 20; seed++ {
		namespace(t, func() {
			var o ours
			d := rand.New(rand.NewPCG(seed, 5))
			pick := func(s ...string) string { return s[d.IntN(len(s))] }
			for i := 0; i < 80 && !t.Failed(); i++ {
				prog := pick("iptables", "iptables", "ip6tables")
				args := words(command(d, pick, prog))
				n++
				compare(t, &o, prog, args, "", false)
			}
			compareRules(t, &o)
		})
	}
	t.Logf("%d commands", n)
}

func command(d *rand.Rand, pick func(...string) string, prog string) string {
	chain := func() string { return pick("INPUT", "FORWARD", "OUTPUT", "A", "B", "C", "PREROUTING") }
	number := func() string { return fmt.Sprint(d.IntN(5)) }
	net := pick("192.0.2.1", "198.51.100.0/24,203.0.113.7", "192.0.2.0/255.255.255.0", "0/0")
	if prog == "ip6tables" {
		net = pick("2001:db8::1", "2001:db8::/32,2001:db8:1::/48", "::/0")
	}
	rule := func() string {
		r, had := "", map[int]bool{}
		for k := d.IntN(4); k > 0; k-- {
			what := d.IntN(7)
			if had[what] {
				continue
			}
			had[what] = true
			switch what {
			case 0:
				r += " " + pick("", "! ") + "-s " + net
			case 1:
				r += " " + pick("", "! ") + "-i lan+"
			case 2:
				r += " -p tcp" + pick("", " --dport 80", " --syn", " ! --sport 1:5", " --dprot 5")
			case 3:
				r += " -m conntrack --ctstate " + pick("NEW", "RELATED,ESTABLISHED")
			case 4:
				r += " -c 5 70"
			case 5:
				r += " -m comment --comment x"
			case 6:
				r += " -o wan0"
			}
		}
		return r + pick("", " -j ACCEPT", " -j DROP", " -j A", " -g B", " -j C", " -j LOG", " -j RETURN", " -j REJECT")
	}
	table := pick("", "", "", "-t nat ", "-t mangle ", "-t filter ")
	opt := pick("", "", " -v")
	switch d.IntN(16) {
	case 0, 1, 2, 3:
		return table + "-A " + chain() + rule() + opt
	case 4, 5:
		return table + "-I " + chain() + " " + pick("", number()) + rule() + opt
	case 6:
		return table + "-D " + chain() + rule() + opt
	case 7:
		return table + "-D " + chain() + " " + number() + opt
	case 8:
		return table + "-R " + chain() + " " + number() + rule() + opt
	case 9:
		return table + "-C " + chain() + rule()
	case 10, 11:
		return table + "-N " + pick("A", "B", "C", "D") + opt
	case 12:
		return table + "-" + pick("F", "X", "Z") + " " + pick("", chain()) + opt
	case 13:
		return table + "-P " + chain() + " " + pick("ACCEPT", "DROP", "QUEUE") + pick("", " -c 3 4")
	case 14:
		return table + "-E " + pick("A", "B", "C", "INPUT") + " " + pick("A", "B", "C", "D")
	}
	return table + pick("-L -n", "-L -nv", "-S", "-S -v", "-L -n --line-numbers", "-nvxL") + " " + pick("", chain(), chain()+" "+number())
}

func words(s string) []string {
	var out []string
	for _, w := range strings.Fields(s) {
		switch w {
		case "EMPTY":
			w = ""
		}
		out = append(out, strings.ReplaceAll(w, "_", " "))
	}
	return out
}

// compare runs one command line with both. ownWords: the message is weir's own.
func compare(t *testing.T, o *ours, prog string, args []string, stdin string, ownWords bool) {
	t.Helper()
	out, errOut, status := real(prog, args, stdin)
	r := o.run(prog, args, stdin)
	if ownWords && errOut != "" && len(r.Stderr) > 0 {
		r.Stderr = []byte(errOut)
	}
	if string(r.Stdout) != out || string(r.Stderr) != errOut || r.Status != status {
		t.Errorf("%s %q\n got %d %q %q\nwant %d %q %q", prog, args, r.Status, r.Stdout, r.Stderr, status, out, errOut)
	}
}

func compareRules(t *testing.T, o *ours) {
	t.Helper()
	strip := func(s string) string {
		var b strings.Builder
		for l := range strings.Lines(s) {
			if l[0] != '#' {
				b.WriteString(l)
			}
		}
		return b.String()
	}
	for _, prog := range []string{"iptables-save", "ip6tables-save"} {
		for _, tab := range []string{"raw", "mangle", "nat", "filter", "security"} {
			want, _, _ := real(prog, []string{"-c", "-t", tab}, "")
			got := string(o.run(prog, []string{"-c", "-t", tab}, "").Stdout)
			if strip(got) != strip(want) {
				t.Errorf("%s -t %s\n got %s\nwant %s", prog, tab, got, want)
			}
		}
	}
}

// commands is one command line of iptables a line; _ is a blank within a word, ~
// marks one to which weir says the same in its own words.
const commands = `
-A INPUT --dprot 80
-A INPUT -p tcp --dprot 80
-A INPUT -p tcp --dport
-A INPUT -p tcp --dport foo
-A FOO -j ACCEPT
-A INPUT -j FOO
-A INPUT -g FOO
-A INPUT -m foo
-D INPUT -j ACCEPT
-C INPUT -j ACCEPT
-D INPUT 3
-D INPUT 0
-D INPUT x
-R INPUT 1 -j ACCEPT
-R INPUT
-I INPUT 5 -j ACCEPT
-I INPUT 0 -j ACCEPT
-N INPUT
-N ACCEPT
-N DNAT
-N a_b
-N -x
-N !x
-N aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-X INPUT
-X FOO
-E INPUT B
-E FOO B
-N A
-N A
-E A A
-A INPUT -j A
-X A
-A A -j A
-P A DROP
-P INPUT FOO
-P INPUT
-P INPUT RETURN
-P FOO DROP
-t foo -L
-t nat -P PREROUTING DROP
-t nat -A PREROUTING -j DROP
-L FOO
-S FOO
-F FOO
-Z FOO
-L INPUT 5
-S INPUT 5
-S INPUT 1
-L INPUT 1
-L INPUT 1 2
-A INPUT foo
-A INPUT !
-A INPUT ! !
-A INPUT ! -j ACCEPT
-A INPUT -j ACCEPT -j DROP
-A INPUT -s 1.2.3.4 -s 1.2.3.5
-A INPUT -o eth0
-A OUTPUT -i eth0
-A INPUT -i aaaaaaaaaaaaaaaaaaaaaaaa
-A INPUT -i EMPTY
-A INPUT -p foo
-A INPUT ! -p all
-A INPUT -s foo.invalid
-A INPUT -s 1.2.3.4/55
-A INPUT -s 1.2.3.4/a
-A INPUT ! -s 1.2.3.4,1.2.3.5
-R INPUT 1 -s 1.2.3.4,1.2.3.5
-A INPUT -A OUTPUT
-A INPUT -L
-F -L
-L -Z
-S -Z
-L INPUT -Z
-L -F
-F INPUT 1
-L -s 1.2.3.4
-L -p tcp
-N Q -j ACCEPT
-P INPUT ACCEPT -j DROP
-A INPUT -n
-A INPUT --line-numbers
-A INPUT -x
-S -n
-S -x
-S --line-numbers
-A
-N
-A INPUT -c 1
-A INPUT -c a b
-A INPUT -c 1 b
-w 5 -S
-w x -S
-w -S
-W 5 -S
-w 1 -W 5 -S
-4 -S
-6 -S
-V
--version
-A INPUT -m tcp --dport 5
-A INPUT -p udp -m tcp --dport 5
-A INPUT -j REJECT --reject-with tcp-reset
-A INPUT -j MASQUERADE
-A INPUT --src-range 1.2.3.4
~ -A INPUT -m limit --limit 5/x
-A INPUT -j LOG --log-prefix aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-A INPUT -p tcp --so 5
~ -A INPUT -p tcp --syn --tcp-flags ALL NONE
-A INPUT -m comment
-A INPUT -j SNAT
-A INPUT -p tcp --sport=5 --dport 4
-A INPUT -f --fragments
-A INPUT -Z
-Z INPUT 1
-Z INPUT 9
-A INPUT -j
-A INPUT -j EMPTY
-A INPUT -g INPUT
-A INPUT -j INPUT
-A INPUT -v -s 1.2.3.4,1.2.3.5 -j ACCEPT
-D INPUT -v -s 1.2.3.4 -j ACCEPT
-v -F
-v -X
-v -Z
-v -N B
-v -E B C
-v -P INPUT ACCEPT
-v -L -n
-v -S
-v -I INPUT -p tcp --dport 80 -m comment --comment a_b -j ACCEPT
-v -R INPUT 1 -p tcp --dport 81 -j ACCEPT
-v -C INPUT -p tcp --dport 81 -j ACCEPT
-v -D INPUT 1
-v -L INPUT
-v -F INPUT
-L INPUT -n -x
--list-rules
--li
--line
-A INPUT -j ACCEPT -M /bin/true
-A INPUT -t nat -j ACCEPT
-t nat -S
-t nat -t filter -S
-E A
-E A B C
-n
-A INPUT -5
-A INPUT -- foo
foo -A INPUT
-Sx
-LvnINPUT
-LINPUT -nv
-SINPUT
-D INPUT 1 -j ACCEPT
-N B C
-X B -v
-I INPUT -1 -j ACCEPT
-I INPUT 1x -j ACCEPT
-L -nn
-A INPUT --fragments=x
-A INPUT --jum ACCEPT
-A INPUT ! --jump ACCEPT
-A INPUT ! -m tcp
-A INPUT -j LOG ! --log-level 3
-A INPUT -p tcp --tcp-flags ALL
~ -A INPUT -p tcp --dport 5 --dport 6
-A INPUT -m limit ! --limit 5/s
-A INPUT -p tcp --s 5
-N A
-A A -j ACCEPT
-N B
-X A
-X
-S
-A B -j A
-F A
-X
-v -X
-F
-A INPUT -p tcp --dport 80 -s 1.2.3.4 -m comment --comment a_b -c 5 70 -j ACCEPT
-A INPUT -c 5 70
-A INPUT -c 5 70 -g A
-v -S
-v -S INPUT 1
-v -S B
-S INPUT
-L -n
-L -n -v
-L -n -v --line-numbers
-L -n --line-numbers
-L
-L -v -x
-P INPUT DROP -c 50000 123456789
-L INPUT -v
-L INPUT -v -n 2
-P INPUT ACCEPT -c 1
-P FORWARD ACCEPT
-L INPUT -v -n 1 --line-numbers
-D INPUT 1 -v
-Z INPUT 0
-Z INPUT x
-A INPUT -f -i eth0 -o eth1
-A FORWARD ! -f ! -i eth0 ! -o eth1 ! -s 1.2.3.0/24 ! -d 4.3.2.0/23 ! -p 6 -j LOG
-A FORWARD -i eth+ -o aaaaaaaaaaaaaaa -s 1.2.3.0/255.0.255.0 -d 255.255.255.255 -p 99 -j LOG
-A FORWARD -g A
-L FORWARD
-L FORWARD -v
-L FORWARD -nv
-L -W
-w 1x -S
-4 -6 -S
-X INPUT
-X A
-F A
-D FORWARD -g A
-A A -j ACCEPT
-X A
-t raw -L -n -w
-t foo -A INPUT -j FOO
-A FOO -j BAR
-A FOO -p tcp --dprot
-A INPUT -g A -j DROP
-A INPUT -j DROP -g A
-A INPUT -g A -g A
-A INPUT -p tcp -p udp
-A INPUT -i a -i b
-A INPUT -c 1 2 -c 1 2
--flush --table=nat
-E A INPUT
-E A ACCEPT
-E A LOG
-E A aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-F aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-A INPUT -j aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
-P INPUT
-P INPUT -v
-I INPUT 2 -p tcp
-I INPUT -p udp -s 1.1.1.1,2.2.2.2
-S INPUT`

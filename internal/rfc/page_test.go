package rfc

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/rfc.md again")

const pageFile = "../../docs/rfc.md"

const pageHead = `# NAT as the RFCs want it

Written by ` + "`make docs`" + ` from the tests in ` + "`internal/rfc`" + `; do not edit.

Linux keeps the port of a source where it can and chooses another where the answer would be somebody else's, so that what a
source is outside hangs on whom it talks to, and only answers are let in. Calls, games and peers behind NAT need more, and RFC
4787, 5382, 5508 and 7857 ask for it. It is off unless a rule asks:

` + "```" + `
-A POSTROUTING -o wan -j MASQUERADE --mapping endpoint-independent --filtering endpoint-independent
-A POSTROUTING -o wan -j SNAT --to-source 203.0.113.2-203.0.113.9 --mapping endpoint-independent --filtering address-dependent
-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT
` + "```" + `

- ` + "`--mapping endpoint-independent`" + `: a source has one outer endpoint for all that it talks to, nobody else has it, and while
  it lasts no other connection of the protocol gets it. For TCP, UDP, UDP-Lite and SCTP that is a port, for ICMP the id of a
  query. ` + "`--to-ports`, `--to-source`, `--random` and `--random-fully`" + ` say where it comes from.
- ` + "`--filtering endpoint-independent`" + `: whoever sends to the endpoint comes to the source. ` + "`--filtering address-dependent`" + `:
  who has an address to which the source has sent. Without ` + "`--filtering`" + ` only answers, as in Linux. Such a packet is NEW, and
  DNAT to ` + "`-m conntrack`" + `: the table filter still has to accept it. Rules of the nat table come first: a port that is
  forwarded stays so.
- A packet that filtering does not let in is dropped as ` + "`nat-filtered`" + `, one for which there is no endpoint as
  ` + "`nat-exhausted`" + `; ` + "`weir trace`" + ` shows the mapping, whose it is, and why a packet was let in or not.
- A port that a program on the machine itself listens on may become a mapping's; keep such ports out with ` + "`--to-ports`" + `, or
  send what is for them to the machine by ` + "`-j REDIRECT`" + `. Connections of the same protocol and address that other rules translate
  do not get a mapping's port, but a mapping may get one that such a connection has already.
- ` + "`weir check --strict-linux`" + ` refuses these options, since Linux does not have them. Options that make no sense together are
  refused at their place.

Each row is a test that drives packets through a machine, once with the rule as Linux has it and once with both options
(endpoint-independent unless the row says otherwise).

`

// TestPage runs every row in both modes and compares the page with the file.
func TestPage(t *testing.T) {
	page := bytes.NewBufferString(pageHead)
	rfc := ""
	for _, r := range rows() {
		got := [2]string{}
		for mode := range got {
			t.Run(fmt.Sprintf("RFC %s %s %s/%s", r.rfc, r.number, r.asks, [2]string{"Linux", "RFC"}[mode]), func(t *testing.T) {
				if r.filtering == "" {
					r.filtering = "endpoint-independent"
				}
				got[mode] = r.test(newBed(t, r.setting, mode == 1))
				if want := [2]string{r.linux, r.rfcs}[mode]; got[mode] != want {
					t.Errorf("got %q, want %q", got[mode], want)
				}
			})
		}
		if r.rfc != rfc {
			rfc = r.rfc
			fmt.Fprintf(page, "## RFC %s\n\n| requirement | what it asks | Linux | with the options |\n|---|---|---|---|\n", rfc)
		}
		fmt.Fprintf(page, "| %s | %s | %s | %s |\n", r.number, r.asks, got[0], got[1])
		if last(r) {
			page.WriteByte('\n')
		}
	}
	page.WriteString(pageTail)
	if *update {
		if err := os.WriteFile(pageFile, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, page.Bytes()) {
		t.Errorf("%s is not what the tests say; run make docs", pageFile)
	}
}

// last reports the last row of an RFC.
func last(r row) bool {
	list := rows()
	for i := range list {
		if list[i].rfc == r.rfc && list[i].number == r.number && list[i].asks == r.asks {
			return i+1 == len(list) || list[i+1].rfc != r.rfc
		}
	}
	return false
}

const pageTail = `Not in the list: RFC 4787 REQ-7 (the networks inside and outside have other addresses: a matter of configuration), REQ-14a and
RFC 5508 REQ-9 (limits, which are sysctls), RFC 7857 section 10 (the identification of fragments is left as it is).
`

// row is a requirement: what it asks, what both modes do, and the test that says
// so.
type row struct {
	rfc, number, asks string
	linux, rfcs       string
	setting
	test func(*bed) string
}

func rows() (list []row) {
	list = append(list, rows4787()...)
	list = append(list, rows5382()...)
	list = append(list, rows5508()...)
	return append(list, rows7857()...)
}

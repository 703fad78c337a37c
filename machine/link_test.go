package machine

import (
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	m, errs := FromYAML("m", []byte(`interfaces:
  - {name: lan0, addresses: [192.0.2.1/24], link: tun}
  - {name: wan0, addresses: [203.0.113.2/24], link: "packet:eth0"}
  - {name: dmz0, addresses: [198.51.100.1/24], link: "tun:vpn"}
local: tun0
`), 0)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var got []string
	for _, l := range m.Links {
		got = append(got, l.Iface.Name+" "+string(l.Kind)+" "+l.Device)
	}
	if s := strings.Join(got, ", "); s != "lan0 tun lan0, wan0 packet eth0, dmz0 tun vpn" || m.LocalTUN != "tun0" {
		t.Errorf("%s; local %s", s, m.LocalTUN)
	}
}

func TestLinksThatAreRefused(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"a kind that nobody knows", "interfaces: [{name: a, link: wire}]", `m:1:30: link: "wire" is not a link: tun, tun:NAME, packet:NAME, xdp:NAME`},
		{"a packet link names its device", "interfaces: [{name: a, link: packet}]", `m:1:30: "" cannot name a device: 1 to 15 characters, no space, no slash`},
		{"lo has no device", "interfaces: [{name: lo, link: tun}]", `m:1:31: link: lo has no device`},
		{"one device has one use", "interfaces: [{name: a, link: tun}]\nlocal: a", `m:2:8: device "a" is used twice`},
		{"a device's name is short", "interfaces: [{name: a, link: \"tun:a23456789012345b\"}]", `m:1:30: "a23456789012345b" cannot name a device: 1 to 15 characters, no space, no slash`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := FromYAML("m", []byte(c.yaml), 0)
			if len(errs) != 1 || errs[0].Error() != c.want {
				t.Errorf("%v\nwant %s", errs, c.want)
			}
		})
	}
}

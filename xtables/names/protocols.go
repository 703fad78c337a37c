package names

import (
	"strconv"
	"strings"
)

// Protocol is the number of an IP protocol by name, as iptables -p takes it:
// a name of the system's table (lower case, or an upper-case alias), or "all"
// for 0.
func Protocol(name string) (n uint8, ok bool) {
	for rest := protocols; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		for i, w := range f {
			if i != 1 && w == name {
				v, err := strconv.ParseUint(f[1], 10, 8)
				return uint8(v), err == nil
			}
		}
	}
	return 0, false
}

// ProtocolName is the name that iptables-save prints for a protocol number;
// false if it prints the number.
func ProtocolName(n uint8) (name string, ok bool) {
	want := strconv.Itoa(int(n))
	for rest := protocols; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		f := strings.Fields(line)
		if len(f) >= 2 && f[1] == want && f[0] != "all" {
			return f[0], true
		}
	}
	return "", false
}

// protocols is one line for each number: the name that is printed, the
// number, aliases. The lines after the blank one are iptables' own additions,
// used for numbers that the system's table does not know.
const protocols = `
ip 0 IP
hopopt 0 HOPOPT
icmp 1 ICMP
igmp 2 IGMP
ggp 3 GGP
ipencap 4 IP-ENCAP
st 5 ST
tcp 6 TCP
egp 8 EGP
igp 9 IGP
pup 12 PUP
udp 17 UDP
hmp 20 HMP
xns-idp 22 XNS-IDP
rdp 27 RDP
iso-tp4 29 ISO-TP4
dccp 33 DCCP
xtp 36 XTP
ddp 37 DDP
idpr-cmtp 38 IDPR-CMTP
ipv6 41 IPv6
ipv6-route 43 IPv6-Route
ipv6-frag 44 IPv6-Frag
idrp 45 IDRP
rsvp 46 RSVP
gre 47 GRE
esp 50 IPSEC-ESP
ah 51 IPSEC-AH
skip 57 SKIP
ipv6-icmp 58 IPv6-ICMP
ipv6-nonxt 59 IPv6-NoNxt
ipv6-opts 60 IPv6-Opts
rspf 73 RSPF CPHB
vmtp 81 VMTP
eigrp 88 EIGRP
ospf 89 OSPFIGP
ax.25 93 AX.25
ipip 94 IPIP
etherip 97 ETHERIP
encap 98 ENCAP
pim 103 PIM
ipcomp 108 IPCOMP
vrrp 112 VRRP
l2tp 115 L2TP
isis 124 ISIS
sctp 132 SCTP
fc 133 FC
mobility-header 135 Mobility-Header
udplite 136 UDPLite
mpls-in-ip 137 MPLS-in-IP
manet 138
hip 139 HIP
shim6 140 Shim6
wesp 141 WESP
rohc 142 ROHC
ethernet 143 Ethernet

ipv6-mh 135
mh 135
all 0
icmpv6 58
`

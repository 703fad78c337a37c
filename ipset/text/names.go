package text

// icmpName is an ICMP type and code with the name that ipset prints and reads.
type icmpName struct {
	name string
	code uint16
}

func icmpNames(v6 bool) []icmpName {
	if v6 {
		return []icmpName{
			{"no-route", 0x100}, {"communication-prohibited", 0x101}, {"address-unreachable", 0x103}, {"port-unreachable", 0x104},
			{"packet-too-big", 0x200}, {"ttl-zero-during-transit", 0x300}, {"ttl-zero-during-reassembly", 0x301},
			{"bad-header", 0x400}, {"unknown-header-type", 0x401}, {"unknown-option", 0x402},
			{"echo-request", 128 << 8}, {"ping", 128 << 8}, {"echo-reply", 129 << 8}, {"pong", 129 << 8},
			{"router-solicitation", 133 << 8}, {"router-advertisement", 134 << 8},
			{"neighbour-solicitation", 135 << 8}, {"neigbour-solicitation", 135 << 8},
			{"neighbour-advertisement", 136 << 8}, {"neigbour-advertisement", 136 << 8}, {"redirect", 137 << 8},
		}
	}
	return []icmpName{
		{"echo-reply", 0}, {"pong", 0}, {"network-unreachable", 0x300}, {"host-unreachable", 0x301},
		{"protocol-unreachable", 0x302}, {"port-unreachable", 0x303}, {"fragmentation-needed", 0x304},
		{"source-route-failed", 0x305}, {"network-unknown", 0x306}, {"host-unknown", 0x307},
		{"network-prohibited", 0x309}, {"host-prohibited", 0x30a}, {"TOS-network-unreachable", 0x30b},
		{"TOS-host-unreachable", 0x30c}, {"communication-prohibited", 0x30d}, {"host-precedence-violation", 0x30e},
		{"precedence-cutoff", 0x30f}, {"source-quench", 0x400}, {"network-redirect", 0x500}, {"host-redirect", 0x501},
		{"TOS-network-redirect", 0x502}, {"TOS-host-redirect", 0x503}, {"echo-request", 0x800}, {"ping", 0x800},
		{"router-advertisement", 0x900}, {"router-solicitation", 0xa00}, {"ttl-zero-during-transit", 0xb00},
		{"ttl-zero-during-reassembly", 0xb01}, {"ip-header-bad", 0xc00}, {"required-option-missing", 0xc01},
		{"timestamp-request", 0xd00}, {"timestamp-reply", 0xe00}, {"address-mask-request", 0x1100}, {"address-mask-reply", 0x1200},
	}
}

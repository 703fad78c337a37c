package line

// icmpNames are the messages of ICMP by the names that iptables knows.
var icmpNames = map[string][2]uint8{
	"echo": {8, 0}, "echo-request": {8, 0}, "echo-reply": {0, 0},
	"net-unreachable": {3, 0}, "host-unreachable": {3, 1}, "protocol-unreachable": {3, 2},
	"port-unreachable": {3, 3}, "frag-needed": {3, 4}, "source-route-failed": {3, 5},
	"net-prohibited": {3, 9}, "host-prohibited": {3, 10}, "admin-prohibited": {3, 13},
	"source-quench": {4, 0}, "redirect": {5, 1}, "ttl-exceeded": {11, 0}, "time-exceeded": {11, 0},
	"reassembly-exceeded": {11, 1}, "parameter-problem": {12, 0},
	"timestamp": {13, 0}, "timestamp-reply": {14, 0}, "info": {15, 0}, "info-reply": {16, 0},
	"mask": {17, 0}, "mask-reply": {18, 0}, "router-advertisement": {9, 0}, "router-solicitation": {10, 0},
}

// icmp6Names are the messages of ICMPv6.
var icmp6Names = map[string][2]uint8{
	"echo": {128, 0}, "echo-request": {128, 0}, "echo-reply": {129, 0},
	"no-route": {1, 0}, "admin-prohibited": {1, 1}, "beyond-scope": {1, 2}, "addr-unreachable": {1, 3},
	"port-unreachable": {1, 4}, "policy-fail": {1, 5}, "reject-route": {1, 6},
	"packet-too-big": {2, 0}, "ttl-exceeded": {3, 0}, "time-exceeded": {3, 0}, "reassembly-exceeded": {3, 1},
	"parameter-problem": {4, 0}, "mld-query": {130, 0}, "mld-report": {131, 0}, "mld-done": {132, 0},
	"router-solicitation": {133, 0}, "router-advertisement": {134, 0},
	"neighbour-solicitation": {135, 0}, "neighbour-advertisement": {136, 0}, "redirect": {137, 0},
	"mld2-report": {143, 0},
}

// sctpChunks are SCTP's chunk types (RFC 9260).
var sctpChunks = map[string]uint8{
	"data": 0, "init": 1, "init-ack": 2, "sack": 3, "heartbeat": 4, "heartbeat-ack": 5, "abort": 6,
	"shutdown": 7, "shutdown-ack": 8, "error": 9, "cookie-echo": 10, "cookie-ack": 11, "shutdown-complete": 14,
}

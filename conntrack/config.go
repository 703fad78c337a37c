package conntrack

// Config is the sysctls net.netfilter.nf_conntrack_* that decide anything.
// Times are in ns. It may be changed between packets; running connections
// keep their deadlines until a packet renews them, as in Linux.
type Config struct {
	// Max is the number of connections, unconfirmed ones included, 0 for no
	// limit; Buckets the hash size that early drop and the chain limit
	// count in, 0 for the default.
	Max, Buckets int
	// ExpectMax is the number of expectations (nf_conntrack_expect_max).
	ExpectMax int

	Checksum            bool // verify checksums in PREROUTING
	Acct                bool // count packets and bytes of new connections
	Timestamp           bool // stamp the start of new connections
	TCPLoose            bool // pick connections up in the middle
	TCPBeLiberal        bool // do not call segments out of window invalid
	TCPIgnoreInvalidRST bool // do not call a reset below the acknowledged data invalid
	// Events is 0 for no events, 1 to keep them for each new connection, 2
	// to do so while someone listens.
	Events int
	// LogInvalid is 0 for nothing, a protocol number, or 255 for all.
	LogInvalid int
	// TCPMaxRetrans is how many repeated segments shorten the timeout.
	TCPMaxRetrans int

	// TCPTimeouts is indexed by TCPStateName; the two behind the states are
	// TCPRetrans and TCPUnack.
	TCPTimeouts [NumTCPTimeouts]int64
	// SCTPTimeouts is indexed by SCTPStateName.
	SCTPTimeouts                 [NumSCTPStates]int64
	UDPTimeout, UDPStreamTimeout int64
	ICMPTimeout, ICMPv6Timeout   int64
	GRETimeout, GREStreamTimeout int64
	GenericTimeout               int64

	// HashKey is the secret of the hash; a machine that faces strangers
	// takes it from a random source. Two equal keys and inputs give equal
	// tables. It is read by New only.
	HashKey [2]uint64
}

const second = int64(1e9)

// defaultBuckets is what Linux chooses on a machine with more than 4 GiB.
const defaultBuckets = 262144

// DefaultConfig is Linux's defaults on a machine with more than 4 GiB.
func DefaultConfig() Config {
	return Config{
		Max: defaultBuckets, Buckets: defaultBuckets, ExpectMax: 4096,
		Checksum: true, TCPLoose: true, Events: 2, TCPMaxRetrans: 3,
		TCPTimeouts: [NumTCPTimeouts]int64{
			TCPSynSent: 120 * second, TCPSynRecv: 60 * second, TCPEstablished: 432000 * second,
			TCPFinWait: 120 * second, TCPCloseWait: 60 * second, TCPLastAck: 30 * second,
			TCPTimeWait: 120 * second, TCPClose: 10 * second, TCPSynSent2: 120 * second,
			TCPRetrans: 300 * second, TCPUnack: 300 * second,
		},
		SCTPTimeouts: [NumSCTPStates]int64{
			SCTPClosed: 10 * second, SCTPCookieWait: 3 * second, SCTPCookieEchoed: 3 * second,
			SCTPEstablished: 210 * second, SCTPShutdownSent: 3 * second, SCTPShutdownRecd: 3 * second,
			SCTPShutdownAckSent: 3 * second, SCTPHeartbeatSent: 30 * second,
		},
		UDPTimeout: 30 * second, UDPStreamTimeout: 120 * second,
		ICMPTimeout: 30 * second, ICMPv6Timeout: 30 * second,
		GRETimeout: 30 * second, GREStreamTimeout: 180 * second,
		GenericTimeout: 600 * second,
	}
}

// buckets is the hash size in force.
func (c *Config) buckets() uint64 {
	if c.Buckets <= 0 {
		return defaultBuckets
	}
	return uint64(c.Buckets)
}

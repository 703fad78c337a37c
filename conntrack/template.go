package conntrack

// Template is what -j CT attaches to a packet before conntrack sees it: how
// to look the packet up, and what a new connection gets (Linux: an nf_conn
// with IPS_TEMPLATE). It is immutable after the rules are loaded.
type Template struct {
	// ZoneID is the zone; it counts for the directions set in ZoneDir.
	ZoneID  uint16
	ZoneDir ZoneDir
	// ZoneFromMark takes the low 16 bits of the packet's mark instead.
	ZoneFromMark bool
	// Helper is the name of the helper to attach to a new connection, HelperID
	// its number.
	Helper   string
	HelperID HelperID
	// TimeoutPolicy names a timeout policy.
	TimeoutPolicy string
	// SynProxy marks what the SYN proxy sends to a server.
	SynProxy bool
	// EventMask and ExpectEventMask restrict events unless both are 0.
	EventMask       EventMask
	ExpectEventMask ExpectEventMask

	conn Conn
}

// Attach is what a packet carries between the rule that attached the template
// and conntrack: rules see it as a new connection without addresses.
func (t *Template) Attach() Ref { return Ref{Conn: &t.conn, Info: InfoNew} }

// Prepare makes the template ready for use, once, when the rules are loaded.
func (t *Template) Prepare() { t.conn.Status = IsTemplate | Confirmed }

// ZoneDir says for which directions a zone counts.
type ZoneDir uint8

// The directions of a zone, as in Linux.
const (
	ZoneOriginal ZoneDir = 1
	ZoneReply    ZoneDir = 2
	ZoneBoth     ZoneDir = 3
)

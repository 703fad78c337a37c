package conntrack

// SynProxy is what the SYN proxy keeps of a connection that it made for a
// client (Linux: struct nf_conn_synproxy).
type SynProxy struct {
	ISN  uint32 // sequence number that the client was given for the server
	Echo uint32 // time stamp that the client was given
	// Offset is what the server's time stamps are ahead of those.
	Offset uint32
}

// SynProxyStats counts what the proxy did, as /proc/net/stat/synproxy.
type SynProxyStats struct {
	SynReceived, CookieInvalid, CookieValid, CookieRetrans, ConnReopened uint64
}

// SynProxy is the proxy's state of a connection; nil if it did not make it.
func (tb *Table) SynProxy(c *Conn) *SynProxy {
	if e := tb.extOf(c); e != nil && e.proxied {
		return &e.proxy
	}
	return nil
}

// SynProxyStats are the proxy's counters.
func (tb *Table) SynProxyStats() *SynProxyStats { return &tb.synproxy }

// NoteSynProxy and NoteSeqAdj tell that the state of the kind changed.
func (c *Conn) NoteSynProxy() { c.note(EventBitSynproxy) }

// NoteSeqAdj: see NoteSynProxy.
func (c *Conn) NoteSeqAdj() { c.note(EventBitSeqAdj) }

// keepsAlive reports a client's keep-alive to a server that has not answered
// the proxy yet: it belongs to the connection, so that the proxy asks the
// server again. Linux: nf_conntrack_tcp_packet.
func (v *visit) keepsAlive(t *TCPState, s *segment) bool {
	return v.c.ext != 0 && v.tb.SynProxy(v.c) != nil && t.State == TCPSynSent && s.class == classAck && v.dir == Original &&
		t.lastDir == Original && t.Side[Original].End-1 == s.seq
}

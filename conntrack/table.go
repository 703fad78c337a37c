package conntrack

// Table is replaced by the real one.
type Table struct{}

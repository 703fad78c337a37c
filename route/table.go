package route

// Table is replaced by the real one.
type Table struct{}

// Package metrics shows the counters of a running machine to Prometheus. They
// are read when they are scraped; nothing is counted twice.
//
//	http.Handle("/metrics", metrics.Handler(server, journal, metrics.Weir))
//
// Layer 10: imports control, and client_golang for the exposition formats.
package metrics

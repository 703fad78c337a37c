// Package web is a page that shows a running machine: the hooks with live
// counters, the connections with filters and sorting, the rules with their
// hits, drops, and the use of ports. It only shows; it changes nothing.
//
// It is meant for a loopback address. Who asks needs a token, unless that was
// switched off, and a Host header that names the address, so that no other
// page of a browser reads it. Nothing is fetched from elsewhere: styles and
// the script are within the program.
//
//	w, err := web.New(server, web.Options{Addr: "127.0.0.1:9631"})
//	log.Print(w.URL())
//	err = w.Serve(ctx)
//
// Pages are made in the server; lists are sorted and cut there, so that a
// million connections cost the browser nothing. The script fetches the parts
// that change again; without it the pages still work.
//
// Layer 10: imports control.
package web

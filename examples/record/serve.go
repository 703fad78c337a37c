//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxAnswer bounds what a client can ask the web server for, in bytes.
const maxAnswer = 4 << 20

// serveHTTP answers GET /N with N bytes, GET /slow with ten short pieces over
// a second, and swallows what is uploaded.
func serveHTTP(addresses []string) error {
	if len(addresses) == 0 {
		return errors.New("no address")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{size}", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.PathValue("size"))
		if err != nil || size < 0 || size > maxAnswer {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(size))
		io.Copy(w, bytes.NewReader(bytes.Repeat([]byte("weir "), size/5+1)[:size]))
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		for i := range 10 {
			fmt.Fprintf(w, "piece %d\n", i)
			http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	})
	mux.HandleFunc("PUT /", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d bytes\n", n)
	})
	failed := make(chan error)
	for _, address := range addresses {
		go func() { failed <- http.ListenAndServe(address, mux) }()
	}
	return <-failed
}

// sink takes what arrives on a UDP port and never answers.
func sink(args []string) error {
	if len(args) != 1 {
		return errors.New("one port")
	}
	conn, err := net.ListenPacket("udp", ":"+args[0])
	if err != nil {
		return err
	}
	buf := make([]byte, 65536)
	for {
		if _, _, err := conn.ReadFrom(buf); err != nil {
			return err
		}
	}
}

// echo answers what it reads on a TCP port with the same.
func echo(args []string) error {
	if len(args) != 1 {
		return errors.New("one port")
	}
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

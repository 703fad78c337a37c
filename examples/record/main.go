//go:build linux

package main

import (
	"fmt"
	"os"
)

// commands maps the first argument to what it does.
func commands() map[string]func([]string) error {
	return map[string]func([]string) error{
		"capture":   capture,
		"offload":   offload,
		"http":      serveHTTP,
		"sink":      sink,
		"echo":      echo,
		"scan":      scan,
		"flood":     flood,
		"fragments": fragments,
		"strange":   strange,
		"reset":     reset,
	}
}

func main() {
	var run func([]string) error
	if len(os.Args) > 1 {
		run = commands()[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: record capture|offload|http|sink|echo|scan|flood|fragments|strange|reset ARGUMENTS")
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "record %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

//go:build !linux

package main

import "runtime"

// linuxSubject cannot run here.
type linuxSubject struct{ gateway bool }

func (s *linuxSubject) Variants() []string {
	if s.gateway {
		return []string{"linux"}
	}
	return []string{"linux-forwarding"}
}

func (s *linuxSubject) Translates() bool { return s.gateway }

func (s *linuxSubject) Open(int, []Rule) error { return errSkip{"this is " + runtime.GOOS} }

func (s *linuxSubject) Push(Way, []byte, int64) []byte { return nil }
func (s *linuxSubject) Stage(string, []Packet)         {}
func (s *linuxSubject) Run(int64, int64) int           { return 0 }
func (s *linuxSubject) Version() string                { return "" }
func (s *linuxSubject) Close()                         {}

func raiseLimits(int) (restore func(), said string) { return func() {}, "" }

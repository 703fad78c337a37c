package nfacct

import (
	"strconv"
	"strings"
)

// Append writes the objects as "nfacct list" does, a line each.
func (s *Objects) Append(b []byte) []byte {
	if s == nil {
		return b
	}
	for _, o := range s.list {
		b = appendNumber(append(b, "{ pkts = "...), o.Packets)
		b = appendNumber(append(b, ", bytes = "...), o.Bytes)
		if o.Mode != NoQuota {
			b = appendNumber(append(b, ", quota = "...), o.Quota)
			b = append(append(b, ", mode = "...), o.Mode...)
			if o.Over {
				b = append(b, ", overquota = yes"...)
			} else {
				b = append(b, ", overquota = no"...)
			}
		}
		b = append(append(append(b, " } = "...), o.Name...), ";\n"...)
	}
	return b
}

// appendNumber appends v in at least 20 digits.
func appendNumber(b []byte, v uint64) []byte {
	s := strconv.FormatUint(v, 10)
	return append(append(b, "00000000000000000000"[len(s):]...), s...)
}

// Load reads what "nfacct list" writes. If it cannot be read, line and col say
// where, from 1, and msg why; line 0 is success. Empty lines and lines that
// begin with # are skipped.
func Load(text []byte) (s *Objects, line, col int, msg string) {
	s = &Objects{}
	for i, l := range strings.Split(string(text), "\n") {
		l = strings.TrimSuffix(l, "\r")
		if strings.TrimSpace(l) == "" || l[0] == '#' {
			continue
		}
		o, col, msg := parse(l)
		if msg == "" && !s.Add(o) {
			col, msg = strings.LastIndex(l, "} =")+5, "there are two objects "+o.Name
		}
		if msg != "" {
			return nil, i + 1, col, msg
		}
	}
	return s, 0, 0, ""
}

const form = `not a line of nfacct list: "{ pkts = N, bytes = N } = NAME;"`

// parse reads one line.
func parse(l string) (o *Object, col int, msg string) {
	fields, name, ok := strings.Cut(l, "} = ")
	if !ok || !strings.HasSuffix(name, ";") || !strings.HasPrefix(fields, "{ ") {
		return nil, 1, form
	}
	o = &Object{Name: strings.TrimSuffix(name, ";")}
	if o.Name == "" || len(o.Name) > MaxName {
		return nil, len(fields) + 5, "the name of an object has 1 to 31 bytes"
	}
	at, seen := 3, ""
	for _, f := range strings.Split(strings.TrimSuffix(fields[2:], " "), ", ") {
		key, value, _ := strings.Cut(f, " = ")
		var err error
		switch key {
		case "pkts":
			o.Packets, err = strconv.ParseUint(value, 10, 64)
		case "bytes":
			o.Bytes, err = strconv.ParseUint(value, 10, 64)
		case "quota":
			o.Quota, err = strconv.ParseUint(value, 10, 64)
		case "mode":
			o.Mode = Mode(value)
			if o.Mode != Packet && o.Mode != Byte {
				return nil, at, "mode is packet or byte, not " + strconv.Quote(value)
			}
		case "overquota":
			o.Over = value == "yes" || value == "1"
			if !o.Over && value != "no" && value != "0" {
				return nil, at, "overquota is yes or no, not " + strconv.Quote(value)
			}
		default:
			return nil, at, form
		}
		if err != nil {
			return nil, at, strconv.Quote(value) + " is not a number of 64 bits"
		}
		at += len(f) + 2
		seen += key + " "
	}
	switch seen {
	case "pkts bytes ", "pkts bytes quota mode overquota ", "pkts bytes quota mode ":
		return o, 0, ""
	}
	return nil, 1, form
}

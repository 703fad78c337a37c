package web

import (
	"fmt"
	"html/template"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"weir/control"
)

// funcs is what templates may call.
func funcs() template.FuncMap {
	return template.FuncMap{
		"num":     num,
		"digits":  anyDigits,
		"bytes":   func(n uint64) string { return scaled(float64(n), 1024, "B", "KiB", "MiB", "GiB", "TiB") },
		"bits":    func(n float64) string { return scaled(n, 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s") },
		"pps":     func(n float64) string { return scaled(n, 1000, "/s", "k/s", "M/s", "G/s", "T/s") },
		"percent": func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) },
		"width":   func(x float64) string { return fmt.Sprintf("%.2f", 100*min(1, max(0, x))) },
		"ep":      end,
		"since":   func(t time.Time) string { return time.Since(t).Round(time.Second).String() },
		"query":   with,
		"total":   func(x, y uint64) uint64 { return x + y },
		"join":    func(a, b string) string { return a + b },
	}
}

// num is a number in three digits and a letter.
func num(n uint64) string {
	if n < 10000 {
		return digits(n)
	}
	return scaled(float64(n), 1000, "", "k", "M", "G", "T")
}

// anyDigits is digits for templates.
func anyDigits(n any) string {
	switch n := n.(type) {
	case int:
		return digits(uint64(max(0, n)))
	case uint64:
		return digits(n)
	}
	return fmt.Sprint(n)
}

// digits is a number with a thin space between thousands.
func digits(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func scaled(x, step float64, units ...string) string {
	i := 0
	for x >= step && i < len(units)-1 {
		x /= step
		i++
	}
	format := "%.1f\u202f%s"
	if i == 0 || x >= 100 {
		format = "%.0f\u202f%s"
	}
	if units[i] == "" {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf(format, x, units[i])
}

// end is an address and a port.
func end(a netip.Addr, port uint16, c control.Conn) string {
	if c.Protocol == "icmp" || c.Protocol == "icmpv6" {
		return a.String()
	}
	return netip.AddrPortFrom(a, port).String()
}

// with is a query with one parameter changed, for links.
func with(q url.Values, pairs ...any) template.URL {
	c := url.Values{}
	for k, v := range q {
		c[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v := fmt.Sprint(pairs[i+1])
		if v == "" {
			c.Del(fmt.Sprint(pairs[i]))
		} else {
			c.Set(fmt.Sprint(pairs[i]), v)
		}
	}
	return template.URL("?" + c.Encode())
}

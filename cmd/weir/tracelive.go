package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"weir/control"
)

// live shows walks of the weir that runs until it is interrupted.
func (c *traceCmd) live(e *env) error {
	if c.Machine != "" || c.Capture != "" || len(c.Packet) > 0 || c.Only != "" {
		return usagef("trace: --live takes the packets of a weir that runs, and no machine, capture, --packet or --only")
	}
	ctx, stop := interrupted()
	defer stop()
	q := url.Values{"filter": {*c.Live}, "rate": {strconv.Itoa(c.Rate)}, "show": {c.Show}, "format": {"text"}}
	out, err := e.open("-")
	if c.JSON != "" {
		q.Set("format", "json")
		out, err = e.open(c.JSON)
	} else if e.colour {
		q.Set("colour", "1")
	}
	if err != nil {
		return err
	}
	f := liveFlags{c.Control}
	err = f.client().Lines(ctx, "/v1/trace", q, func(l []byte) error {
		if len(l) == 0 {
			return out.Flush()
		}
		var m struct {
			Missed *control.Missed `json:"missed"`
		}
		if bytes.HasPrefix(l, []byte(`{"missed"`)) && json.Unmarshal(l, &m) == nil && m.Missed != nil {
			fmt.Fprintf(e.stderr, "not shown so far: %d above the rate, %d that we read too slowly, %d not recorded\n",
				m.Missed.Over, m.Missed.Lost, m.Missed.NotRecorded)
			return nil
		}
		out.Write(l)
		out.Write([]byte("\n"))
		return out.Flush()
	})
	if cerr := out.close(); err == nil {
		err = cerr
	}
	return err
}

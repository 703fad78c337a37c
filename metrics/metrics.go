package metrics

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/control"
	"weir/packet"
)

// Names says what the metrics of connection tracking are called.
type Names uint8

const (
	// Weir calls them weir_conntrack_….
	Weir Names = iota
	// Node calls them as node_exporter does, node_nf_conntrack_…, so that its
	// dashboards and alerts work.
	Node
)

// maxRules is how many rules with a comment have metrics.
const maxRules = 1000

// Logged counts what rules logged; a journal does.
type Logged interface {
	Records() uint64
	Lost() uint64
}

// Collector reads a server's machine. It implements prometheus.Collector.
type Collector struct {
	s     *control.Server
	l     Logged
	names Names
}

// New makes a collector. l may be nil.
func New(s *control.Server, l Logged, n Names) *Collector { return &Collector{s, l, n} }

// Handler answers scrapes, with Go's own metrics beside weir's.
func Handler(s *control.Server, l Logged, n Names) http.Handler {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(New(s, l, n), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Describe implements prometheus.Collector: what there is depends on rules and
// devices, so nothing is announced.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	w := writer{ch}
	st := c.s.Status()
	c.conntrack(w, &st)
	for _, d := range st.Drops {
		w.counter("weir_drops_total", "Packets dropped, by reason.", d.Count, "reason", d.Name)
	}
	for _, d := range st.Devices {
		up := 0.0
		if d.Up {
			up = 1
		}
		w.gauge("weir_device_up", "1 while the device is there.", up, "interface", d.Name)
		w.counter("weir_device_receive_packets_total", "Packets that came in; several segments in one count once.", d.RxPackets, "interface", d.Name)
		w.counter("weir_device_receive_bytes_total", "Bytes that came in, from the IP header on.", d.RxBytes, "interface", d.Name)
		w.counter("weir_device_transmit_packets_total", "Packets that left.", d.TxPackets, "interface", d.Name)
		w.counter("weir_device_transmit_bytes_total", "Bytes that left, from the IP header on.", d.TxBytes, "interface", d.Name)
		w.counter("weir_device_transmit_drop_total", "Packets that the device did not take.", d.TxDropped, "interface", d.Name)
	}
	for _, a := range c.s.Ports().Addresses {
		w.gauge("weir_nat_connections", "Connections with a translated source.", float64(a.Connections), "external", a.External.String(), "protocol", a.Protocol)
		w.gauge("weir_nat_fullest_ratio", "Part of the ports that is used towards the fullest peer.", a.Fullest, "external", a.External.String(), "protocol", a.Protocol)
	}
	for _, a := range st.Alarms {
		w.gauge("weir_alarm_ratio", "What is about to run out, and how full it is.", a.Share, "alarm", a.Name, "level", a.Level)
	}
	c.rules(w)
	if c.l != nil {
		w.counter("weir_log_records_total", "Lines that rules and trackers logged.", c.l.Records())
		w.counter("weir_log_records_lost_total", "Lines that came faster than they could be written.", c.l.Lost())
	}
	w.gauge("weir_control_streams", "Streams of the control socket.", float64(st.Streams))
	w.counter("weir_control_refused_total", "Connections to the control socket that were turned away.", st.Refused)
	w.counter("weir_control_dropped_readers_total", "Readers of streams that were too slow.", st.Dropped)
}

// conntrack is the table and the counters of conntrack -S.
func (c *Collector) conntrack(w writer, st *control.Status) {
	entries, limit := float64(st.Connections), float64(st.Max)
	stats := st.Stats
	if c.names == Weir {
		w.gauge("weir_conntrack_entries", "Connections.", entries)
		w.gauge("weir_conntrack_entries_limit", "Most connections there may be; 0 is no limit.", limit)
		w.gauge("weir_conntrack_expectations", "Expected connections.", float64(st.Expects))
		for _, s := range stats {
			w.counter("weir_conntrack_stat_total", "The counters of conntrack -S.", s.Count, "stat", s.Name)
		}
		return
	}
	w.gauge("node_nf_conntrack_entries", "Number of currently allocated flow entries for connection tracking.", entries)
	w.gauge("node_nf_conntrack_entries_limit", "Maximum size of connection tracking table.", limit)
	shown := map[string]bool{"found": true, "invalid": true, "insert": true, "insert_failed": true, "drop": true,
		"early_drop": true, "search_restart": true}
	for _, s := range append(stats, control.Count{Name: "ignore"}) {
		if shown[s.Name] || s.Name == "ignore" {
			w.gauge("node_nf_conntrack_stat_"+s.Name, "The counter "+s.Name+" of conntrack -S.", float64(s.Count))
		}
	}
}

// rules is the policies, and the rules that have a comment: it is their name.
func (c *Collector) rules(w writer) {
	type key struct{ family, table, chain, comment string }
	type sum struct{ packets, bytes uint64 }
	sums, order := map[key]*sum{}, []key{}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, ch := range c.s.Chains(f, "") {
			if ch.Policy != "" {
				at := []string{"family", ch.Family, "table", ch.Table, "chain", ch.Name, "policy", ch.Policy}
				w.counter("weir_policy_packets_total", "Packets that came to the policy.", ch.Packets, at...)
				w.counter("weir_policy_bytes_total", "Bytes that came to the policy.", ch.Bytes, at...)
			}
			for i := range ch.Rules {
				r := &ch.Rules[i]
				comment, ok := r.Comment()
				if !ok {
					continue
				}
				k := key{ch.Family, ch.Table, ch.Name, comment}
				s := sums[k]
				if s == nil {
					if len(order) == maxRules {
						continue
					}
					s = &sum{}
					sums[k] = s
					order = append(order, k)
				}
				s.packets += r.Packets
				s.bytes += r.Bytes
			}
		}
	}
	for _, k := range order {
		at := []string{"family", k.family, "table", k.table, "chain", k.chain, "comment", strings.ToValidUTF8(k.comment, "?")}
		w.counter("weir_rule_packets_total", "Packets of rules with a comment; those of equal comments together.", sums[k].packets, at...)
		w.counter("weir_rule_bytes_total", "Bytes of rules with a comment.", sums[k].bytes, at...)
	}
}

// writer makes metrics of names and numbers. Labels come in pairs.
type writer struct{ ch chan<- prometheus.Metric }

func (w writer) counter(name, help string, v uint64, labels ...string) {
	w.put(prometheus.CounterValue, name, help, float64(v), labels)
}

func (w writer) gauge(name, help string, v float64, labels ...string) {
	w.put(prometheus.GaugeValue, name, help, v, labels)
}

func (w writer) put(t prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), t, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewDesc("weir_invalid_"+strconv.Itoa(len(names)), help, nil, nil), err)
	}
	w.ch <- m
}

package main

import "runtime"

// line is a cache line.
type line [8]uint64

// memoryWorker measures what this computer's memory allows: a packet that
// does nothing but read two lines at random, a bucket and the record that the
// bucket names, out of as many of each as there are flows.
type memoryWorker struct {
	buckets, records []line
	free             []func()
	r                random
	sum              uint64
}

// prepare links the lines: bucket i names record p(i), which names bucket
// s(i). s is one cycle through all, so that a chase meets every line.
func (m *memoryWorker) prepare(q request) reply {
	m.r = 1
	for _, l := range []*[]line{&m.buckets, &m.records} {
		a, free, err := lines(q.Flows)
		if err != nil {
			return reply{Error: err.Error()}
		}
		*l = a
		m.free = append(m.free, free)
	}
	p, s := make([]uint32, q.Flows), make([]uint32, q.Flows)
	for i := range p {
		p[i], s[i] = uint32(i), uint32(i)
	}
	for i := q.Flows - 1; i > 0; i-- {
		j := m.r.below(i + 1)
		p[i], p[j] = p[j], p[i]
		j = m.r.below(i) // Sattolo: never itself, one cycle
		s[i], s[j] = s[j], s[i]
	}
	for i := range p {
		m.buckets[i][0] = uint64(p[i])
		m.records[p[i]][0] = uint64(s[i])
	}
	return reply{Version: cpuName(), Variants: []string{"dependent", "independent"}}
}

func (m *memoryWorker) measure(q request) reply {
	n := 1 << 21
	if q.Variant == "independent" {
		m.independent(1 << 14)
		t := threadTime()
		m.independent(n)
		return reply{NS: float64(threadTime()-t) / float64(n), Packets: n}
	}
	m.dependent(1 << 14)
	t := threadTime()
	m.dependent(n)
	return reply{NS: float64(threadTime()-t) / float64(n), Packets: n}
}

// dependent waits for each line before it knows the next.
func (m *memoryWorker) dependent(n int) {
	i := uint64(m.r.below(len(m.buckets)))
	for range n {
		i = m.records[m.buckets[i][0]][0]
	}
	m.sum += i
}

// independent knows 32 packets at a time: all buckets are read, then all
// records, so that the processor waits for many lines at once.
func (m *memoryWorker) independent(n int) {
	var at [32]uint64
	for ; n > 0; n -= len(at) {
		for i := range at {
			at[i] = uint64(m.r.below(len(m.buckets)))
		}
		for i := range at {
			at[i] = m.buckets[at[i]][0]
		}
		for i := range at {
			m.sum += m.records[at[i]][0]
		}
	}
}

func (m *memoryWorker) close() {
	for _, f := range m.free {
		f()
	}
	*m = memoryWorker{}
	runtime.GC()
}

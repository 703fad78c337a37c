package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// footprint is the memory that this process's connections live in: live heap
// and what is resident of anonymous mappings outside of Go's arenas.
func footprint() int64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) + mapped()
}

// mapped sums anonymous mappings; 0 where there is no /proc.
func mapped() (n int64) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0
	}
	defer f.Close()
	count := false
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		var lo, hi uint64
		if k, _ := fmt.Sscanf(s.Text(), "%x-%x", &lo, &hi); k == 2 {
			// Go's arenas start at 0xc000000000 on 64-bit systems.
			count = len(fields) == 5 && (lo < 0xc000000000 || lo >= 0xd000000000)
			if len(fields) > 5 && strings.HasPrefix(fields[5], "[anon:") {
				count = !strings.Contains(fields[5], "Go") && (lo < 0xc000000000 || lo >= 0xd000000000)
			}
			continue
		}
		if count && len(fields) == 3 && fields[0] == "Rss:" {
			kb, _ := strconv.ParseInt(fields[1], 10, 64)
			n += kb << 10
		}
	}
	return n
}

// mallocs is how many objects were ever allocated.
func mallocs() uint64 {
	m := [1]metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(m[:])
	return m[0].Value.Uint64()
}

// cpuName is the processor, as it calls itself.
func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for _, l := range strings.Split(string(b), "\n") {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

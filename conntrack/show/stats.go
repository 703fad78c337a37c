package show

import (
	"strconv"

	"weir/conntrack"
)

// AppendStats adds the counters as conntrack -S prints them for one CPU.
func AppendStats(b []byte, s conntrack.Stats) []byte {
	b = append(b, "cpu=0   \t"...)
	b = appendNum(b, "found=", s.Found)
	b = appendNum(b, "invalid=", s.Invalid)
	b = appendNum(b, "insert=", s.Insert)
	b = appendNum(b, "insert_failed=", s.InsertFailed)
	b = appendNum(b, "drop=", s.Drop)
	b = appendNum(b, "early_drop=", s.EarlyDrop)
	b = appendNum(b, "error=", s.Error)
	b = appendNum(b, "search_restart=", s.SearchRestart)
	b = appendNum(b, "clash_resolve=", s.ClashResolve)
	return appendNum(b, "chaintoolong=", s.ChainTooLong)
}

// AppendExpectStats adds the counters as conntrack -S expect prints them for one
// CPU.
func AppendExpectStats(b []byte, s conntrack.Stats) []byte {
	b = append(b, "cpu=0   \t"...)
	b = appendNum(b, "expect_new=", s.ExpectNew)
	b = appendNum(b, "expect_create=", s.ExpectCreate)
	return appendNum(b, "expect_delete=", s.ExpectDelete)
}

// ProcStatsHeader is the first line of /proc/net/stat/nf_conntrack.
const ProcStatsHeader = "entries  clashres found new invalid ignore delete chainlength insert insert_failed" +
	" drop early_drop icmp_error  expect_new expect_create expect_delete search_restart"

// AppendProcStats adds the counters as /proc/net/stat/nf_conntrack prints them
// for one CPU.
func AppendProcStats(b []byte, tb *conntrack.Table) []byte {
	s := tb.Stats()
	values := [...]uint64{
		uint64(tb.Len()), s.ClashResolve, s.Found, 0, s.Invalid, 0, 0, s.ChainTooLong, s.Insert, s.InsertFailed,
		s.Drop, s.EarlyDrop, s.Error, s.ExpectNew, s.ExpectCreate, s.ExpectDelete, s.SearchRestart,
	}
	for i, v := range values {
		switch i {
		case 0:
		case 1, 13:
			b = append(b, "  "...)
		default:
			b = append(b, ' ')
		}
		hex := strconv.AppendUint(nil, 1<<32|v&0xffffffff, 16)
		b = append(b, hex[1:]...)
	}
	return b
}

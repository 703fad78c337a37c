package engine

import (
	"weir/hook"
	"weir/synproxy"
)

// pipeline is the whole of netfilter's order on one screen. Nothing else in
// the module decides when something runs. Of equal priorities the later line
// runs first. What helpers and moved sequence numbers need is done by confirm:
// Linux has no function of its own for it since it is built so.
func (m *Machine) pipeline() *hook.Pipeline {
	return hook.New([]hook.Entry{
		{At: hook.Prerouting, Pri: hook.PriDefrag, Name: "defrag", Fn: m.defrag},
		{At: hook.Prerouting, Pri: hook.PriRaw, Name: "raw", Fn: m.raw},
		{At: hook.Prerouting, Pri: hook.PriConntrack, Name: "conntrack", Fn: m.track},
		{At: hook.Prerouting, Pri: hook.PriMangle, Name: "mangle", Fn: m.mangle},
		{At: hook.Prerouting, Pri: hook.PriDNAT, Name: "nat", Fn: m.nat},

		{At: hook.Input, Pri: hook.PriMangle, Name: "mangle", Fn: m.mangle},
		{At: hook.Input, Pri: hook.PriFilter, Name: "filter", Fn: m.filter},
		{At: hook.Input, Pri: hook.PriSecurity, Name: "security", Fn: m.security},
		{At: hook.Input, Pri: hook.PriSNAT, Name: "nat", Fn: m.nat},
		{At: hook.Input, Pri: hook.PriConfirm - 1, Name: "synproxy", Fn: synproxy.Join},
		{At: hook.Input, Pri: hook.PriConfirm, Name: "confirm", Fn: m.confirm},

		{At: hook.Forward, Pri: hook.PriMangle, Name: "mangle", Fn: m.mangle},
		{At: hook.Forward, Pri: hook.PriFilter, Name: "filter", Fn: m.filter},
		{At: hook.Forward, Pri: hook.PriSecurity, Name: "security", Fn: m.security},

		{At: hook.Output, Pri: hook.PriDefrag, Name: "defrag", Fn: m.defrag},
		{At: hook.Output, Pri: hook.PriRaw, Name: "raw", Fn: m.raw},
		{At: hook.Output, Pri: hook.PriConntrack, Name: "conntrack", Fn: m.track},
		{At: hook.Output, Pri: hook.PriMangle, Name: "mangle", Fn: m.mangleOutput},
		{At: hook.Output, Pri: hook.PriDNAT, Name: "nat", Fn: m.natOutput},
		{At: hook.Output, Pri: hook.PriFilter, Name: "filter", Fn: m.filter},
		{At: hook.Output, Pri: hook.PriSecurity, Name: "security", Fn: m.security},

		{At: hook.Postrouting, Pri: hook.PriMangle, Name: "mangle", Fn: m.mangle},
		{At: hook.Postrouting, Pri: hook.PriSNAT, Name: "nat", Fn: m.nat},
		{At: hook.Postrouting, Pri: hook.PriConfirm - 1, Name: "synproxy", Fn: synproxy.Join},
		{At: hook.Postrouting, Pri: hook.PriConfirm, Name: "confirm", Fn: m.confirm},
	})
}

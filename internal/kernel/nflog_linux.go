//go:build linux

package kernel

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Attributes of linux/netfilter/nfnetlink_log.h.
const (
	logPrefix = 10

	cfgCmd, cfgMode, cfgQThresh = 1, 2, 5
	cmdBind                     = 1
	copyMeta                    = 1
)

// bindLog subscribes to an NFLOG group, each packet at once.
func (s *socket) bindLog(group uint16) error {
	for _, a := range [][]byte{
		attr(nil, cfgCmd, []byte{cmdBind}),
		attr(nil, cfgMode, []byte{0, 0, 0, 0, copyMeta, 0}),
		attr(nil, cfgQThresh, be32(1)),
	} {
		if err := s.request(subLog, logConfig, 0, unix.NLM_F_ACK, group, a, nil); err != nil {
			return fmt.Errorf("kernel: NFLOG group %d: %w", group, err)
		}
	}
	return nil
}

// log sorts one NFLOG message into the result by its prefix.
func (r *Result) log(m message) {
	if m.sub != subLog || m.typ != logPacket {
		return
	}
	attrs(m.attrs, func(typ uint16, v []byte) {
		if typ != logPrefix {
			return
		}
		p := strings.TrimSpace(strings.TrimRight(string(v), "\x00"))
		if t, ok := strings.CutPrefix(p, "TRACE: "); ok {
			r.Trace = append(r.Trace, t)
		} else {
			r.Invalid = append(r.Invalid, strings.TrimSuffix(p, ":"))
		}
	})
}

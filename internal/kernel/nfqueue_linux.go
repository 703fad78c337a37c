//go:build linux

package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Numbers of linux/netfilter/nfnetlink_queue.h.
const (
	subQueue = 3

	queuePacket, queueVerdict, queueConfig = 0, 1, 2
	queueHeader, queueVerdictHeader        = 1, 2
	queueCmd, queueParams                  = 1, 2
	verdictAccept                          = 1
)

// Hold opens an NFQUEUE: what rules put there waits for Release.
func (k *Kernel) Hold(num uint16) error {
	return k.ns.do(func() (err error) {
		if k.queue != nil {
			return errors.New("kernel: one queue is open already")
		}
		if k.queue, err = openNetlink(0); err != nil {
			return err
		}
		for _, a := range [][]byte{attr(nil, queueCmd, []byte{cmdBind, 0, 0, 0}), attr(nil, queueParams, append(be32(0), copyMeta))} {
			if err := k.queue.request(subQueue, queueConfig, 0, unix.NLM_F_ACK, num, a, k.hold); err != nil {
				return fmt.Errorf("kernel: queue %d: %w", num, err)
			}
		}
		k.queueNum = num
		return nil
	})
}

func (k *Kernel) hold(m message) {
	if m.sub != subQueue || m.typ != queuePacket {
		return
	}
	attrs(m.attrs, func(typ uint16, v []byte) {
		if typ == queueHeader && len(v) >= 4 {
			k.held = append(k.held, uint32(number(v[:4])))
		}
	})
}

// Held is the numbers of the packets that came into the queue since the last
// call.
func (k *Kernel) Held() ([]uint32, error) {
	err := k.queue.read(k.buf, k.hold)
	list := k.held
	k.held = nil
	return list, err
}

// Release lets a packet of the queue go on.
func (k *Kernel) Release(id uint32) (Result, error) {
	if err := k.drain(); err != nil {
		return Result{}, err
	}
	a := attr(nil, queueVerdictHeader, append(be32(verdictAccept), be32(id)...))
	if err := k.queue.request(subQueue, queueVerdict, 0, unix.NLM_F_ACK, k.queueNum, a, k.hold); err != nil {
		return Result{}, fmt.Errorf("kernel: verdict: %w", err)
	}
	return k.collect()
}

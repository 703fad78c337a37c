package replay

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"

	"weir/capture"
	"weir/machine"
	"weir/packet"
)

const yaml = `interfaces:
  - {name: lan0, addresses: [192.0.2.1/24], index: 3, mac: "02:00:00:00:00:01"}
  - {name: lan0.7, addresses: [192.0.2.129/25]}
  - {name: wan0, addresses: [203.0.113.2/24], index: 5}
`

var ip4 = []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1}

// pcap makes a capture of the frames with one link type.
func pcap(link uint32, frames ...[]byte) []byte {
	var b []byte
	le := binary.LittleEndian
	b = le.AppendUint32(b, 0xa1b2c3d4)
	b = le.AppendUint32(b, 2|4<<16)
	b = append(b, make([]byte, 8)...)
	b = le.AppendUint32(b, 65535)
	b = le.AppendUint32(b, link)
	for _, f := range frames {
		b = append(b, make([]byte, 8)...)
		b = le.AppendUint32(b, uint32(len(f)))
		b = le.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

func ngFile(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := capture.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := w.Packet(n, 1, ip4, ""); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func sll2(typ, ifindex byte) []byte {
	return append([]byte{8, 0, 0, 0, 0, 0, 0, ifindex, 0, 1, typ, 6, 2, 0, 0, 0, 0, 2, 0, 0}, ip4...)
}

func ether(dst byte, tag ...byte) []byte {
	f := append([]byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, 9}, tag...)
	return append(append(f, 8, 0), ip4...)
}

func TestInterfaceOfAPacket(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		in   string // --in
		out  bool   // --include-outgoing
		want string // interfaces, * behind one whose frame is for another machine
		err  string
		skip Skipped
	}{
		{name: "the file names it", data: ngFile(t, "lan0", "wan0", "local"), in: "wan0", want: "lan0 wan0 local"},
		{name: "the index of SLL2", data: pcap(capture.LinkSLL2, sll2(0, 3), sll2(0, 5)), want: "lan0 wan0"},
		{name: "--in", data: pcap(capture.LinkRaw, ip4), in: "lan0", want: "lan0"},
		{name: "--in for an index that is not there", data: pcap(capture.LinkSLL2, sll2(0, 9)), in: "lan0", want: "lan0"},
		{name: "nothing", data: pcap(capture.LinkRaw, ip4), err: "c: packet 1: nothing says by which interface it arrives; three things can: "},
		{name: "a name that is not there", data: ngFile(t, "lan0", "eth9"), want: "lan0", err: `c: packet 2: it arrives by interface "eth9", which the machine does not have; three things can: `},
		{name: "outgoing is skipped", data: pcap(capture.LinkSLL2, sll2(4, 3), sll2(0, 3)), want: "lan0", skip: Skipped{Outgoing: 1}},
		{name: "outgoing on demand", data: pcap(capture.LinkSLL2, sll2(4, 3)), out: true, want: "lan0"},
		{name: "for another machine", data: pcap(capture.LinkEther, ether(1), ether(2)), in: "lan0", want: "lan0 lan0*"},
		{name: "an address of the interface is not known", data: pcap(capture.LinkEther, ether(2)), in: "wan0", want: "wan0"},
		{name: "VLAN 7 has an interface", data: pcap(capture.LinkEther, ether(1, 0x81, 0, 0, 7)), in: "lan0", want: "lan0.7"},
		{name: "VLAN 8 has none", data: pcap(capture.LinkEther, ether(1, 0x81, 0, 0, 8)), in: "lan0", want: "lan0*"},
		{name: "a priority tag", data: pcap(capture.LinkEther, ether(1, 0x81, 0, 0xe0, 0)), in: "lan0", want: "lan0"},
		{name: "two tags", data: pcap(capture.LinkEther, ether(1, 0x88, 0xa8, 0, 1, 0x81, 0, 0, 7)), in: "lan0", skip: Skipped{VLAN: 1}},
		{name: "ARP", data: pcap(capture.LinkEther, append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 6}, ip4...)), in: "lan0", skip: Skipped{NotIP: 1}},
		{name: "a link type that is not there", data: pcap(127, ip4), in: "lan0", err: "c: packet 1: link type IEEE802_11_RADIOTAP (127) is not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, errs := machine.FromYAML("m", []byte(yaml), 0)
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			src, err := NewCapture(bytes.NewReader(c.data), "c", m)
			if err != nil {
				t.Fatal(err)
			}
			src.In, src.IncludeOutgoing = c.in, c.out
			var got []string
			var it Item
			for err = src.Next(&it); err == nil; err = src.Next(&it) {
				in := it.In
				if it.Link.Type == packet.ToOther {
					in += "*"
				}
				got = append(got, in)
				if !bytes.Equal(it.Data, ip4) {
					t.Errorf("packet is %x", it.Data)
				}
			}
			if !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("got %v, want %s", got, c.want)
			}
			if c.err == "" && err != io.EOF || c.err != "" && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("error %v, want %s", err, c.err)
			}
			if src.Skipped != c.skip {
				t.Errorf("skipped %+v, want %+v", src.Skipped, c.skip)
			}
		})
	}
}

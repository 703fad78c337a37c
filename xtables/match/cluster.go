package match

import (
	"encoding/binary"
	"math"

	"weir/conntrack"
	"weir/hook"
	"weir/internal/jhash"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// Cluster is -m cluster: this node's share of the connections.
func Cluster() xtables.MatchExt {
	return xtables.MatchExt{
		Name: "cluster", Families: xtables.Both, NeedsConntrack: true,
		Options: []xtables.Option{
			{Name: "cluster-total-nodes", Args: xtables.OneArg, NoInvert: true},
			{Name: "cluster-local-node", Args: xtables.OneArg}, {Name: "cluster-local-nodemask", Args: xtables.OneArg},
			{Name: "cluster-hash-seed", Args: xtables.OneArg, NoInvert: true},
		},
		Parse: parseCluster,
		Doc:   "all options",
	}
}

type clusterMatch struct {
	total, mask, seed uint32
	not               bool
}

const clusterNodes = 32

func parseCluster(_ *xtables.Context, given []xtables.Given) (xtables.Match, error) {
	m := &clusterMatch{}
	for _, n := range []string{"cluster-total-nodes", "cluster-hash-seed"} {
		if err := args.Need(given, n); err != nil {
			return nil, err
		}
	}
	if err := args.Need(given, "cluster-local-node", "cluster-local-nodemask"); err != nil {
		return nil, err
	}
	if err := args.Apart(given, "cluster-local-node", "cluster-local-nodemask"); err != nil {
		return nil, err
	}
	var local *xtables.Given
	for i := range given {
		g := &given[i]
		var n uint64
		var err error
		switch g.Name {
		case "cluster-total-nodes":
			n, err = args.Uint(g, 1, clusterNodes)
			m.total = uint32(n)
		case "cluster-local-node":
			n, err = args.Uint(g, 1, clusterNodes)
			m.mask, m.not, local = 1<<(n-1), g.Invert, g
		case "cluster-local-nodemask":
			n, err = args.Uint(g, 1, clusterNodes) // a limit of iptables
			m.mask, m.not, local = uint32(n), g.Invert, g
		case "cluster-hash-seed":
			n, err = args.Uint(g, 0, math.MaxUint32)
			m.seed = uint32(n)
		}
		if err != nil {
			return nil, err
		}
	}
	if uint64(m.mask) >= 1<<m.total {
		return nil, args.Errorf(local, "--%s: there are only %d nodes", local.Name, m.total)
	}
	return m, nil
}

// node is the number of the node that has the connection, from 0.
func (m *clusterMatch) node(t *hook.Traversal, c *conntrack.Conn) uint32 {
	if mc := t.Env.CT.ByID(t.Env.CT.Master(c)); mc != nil {
		c = mc
	}
	src := &c.Tuple[conntrack.Original].Src
	// The kernel hashes the word as it lies in a little-endian memory, and of
	// an IPv6 address the first word only.
	w := [1]uint32{binary.LittleEndian.Uint32(src[:])}
	return uint32(uint64(jhash.Words(w[:], m.seed)) * uint64(m.total) >> 32)
}

// Match follows Linux net/netfilter/xt_cluster.c, which makes the node take a
// packet that was sent to a multicast link address.
func (m *clusterMatch) Match(t *hook.Traversal) bool {
	p := t.Pkt
	group := p.Data[16]&0xf0 == 0xe0
	if p.Family == packet.IPv6 {
		group = p.Data[24] == 0xff
	}
	if !group && p.Link.Type == packet.ToMulticast {
		p.Link.Type = packet.ToHost
	}
	c := t.CT.Conn
	if c == nil {
		return false
	}
	return (m.mask&(1<<m.node(t, c)) != 0) != m.not
}

func (m *clusterMatch) Explain(t *hook.Traversal) string {
	if t.CT.Conn == nil {
		return "no connection"
	}
	return "it is node " + dec(uint64(m.node(t, t.CT.Conn))+1) + "'s"
}

func (m *clusterMatch) AppendArgs(b []byte) []byte {
	b = args.Hex(args.Name(b, m.not, "cluster-local-nodemask"), uint64(m.mask), 8)
	b = args.Dec(args.Name(b, false, "cluster-total-nodes"), uint64(m.total))
	return args.Hex(args.Name(b, false, "cluster-hash-seed"), uint64(m.seed), 8)
}

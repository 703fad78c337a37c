package target

import (
	"errors"

	"weir/conntrack"
	"weir/hook"
	"weir/nat"
	"weir/packet"
	"weir/xtables"
	"weir/xtables/args"
)

// beyond is options with an argument that Linux does not have.
func beyond(names ...string) (o []xtables.Option) {
	for _, n := range names {
		o = append(o, xtables.Option{Name: n, Args: xtables.OneArg, NoInvert: true, Beyond: true})
	}
	return o
}

const independent = "endpoint-independent"

// mappingOptions are --mapping and --filtering as a rule has them; nil is absent.
type mappingOptions struct{ mapping, filtering *xtables.Given }

// cutMapping takes --mapping and --filtering out of a rule's options.
func cutMapping(given []xtables.Given) (rest []xtables.Given, o mappingOptions, err error) {
	for i := range given {
		switch g := &given[i]; g.Name {
		case "mapping":
			o.mapping = g
		case "filtering":
			o.filtering = g
		default:
			rest = append(rest, *g)
		}
	}
	if o.mapping == nil && o.filtering != nil {
		return nil, o, &xtables.Error{Pos: o.filtering.Pos, Msg: "--filtering needs --mapping " + independent + ": it says who may send to a mapping"}
	}
	return rest, o, nil
}

// readMapping reads them into r, and refuses what does not go with them.
func readMapping(c *xtables.Context, o mappingOptions, rest []xtables.Given, r *nat.Range) error {
	if o.mapping == nil {
		return nil
	}
	if args.Text(o.mapping) != independent {
		return args.Bad(o.mapping, independent+", the only one beside Linux's own")
	}
	r.Flags |= nat.EndpointIndependent
	if f := o.filtering; f != nil {
		switch args.Text(f) {
		case independent:
			r.Filter = conntrack.FilterEndpointIndependent
		case "address-dependent":
			r.Filter = conntrack.FilterAddressDependent
		default:
			return args.Bad(f, independent+" or address-dependent")
		}
	}
	if c.Proto != 0 && !c.ProtoInvert {
		switch c.Proto {
		case packet.TCP, packet.UDP, packet.UDPLite, packet.SCTP:
		case packet.ICMP, packet.ICMPv6:
			if o.filtering != nil {
				return args.Errorf(o.filtering, "--filtering: nobody sends to a mapping of ICMP of his own accord, only answers come")
			}
		default:
			return args.Errorf(o.mapping, "--mapping: the rule's protocol has neither ports nor ids; -p tcp, udp, udplite, sctp, icmp or none")
		}
	}
	if g := args.Find(rest, "persistent"); g != nil {
		return &xtables.Error{Pos: g.Pos, Msg: "--persistent says nothing beside --mapping " + independent + ": a source keeps its address anyway"}
	}
	if r.Flags&nat.ProtoOffset != 0 {
		return args.Errorf(o.mapping, "--mapping: a base port does not go with it")
	}
	if g := args.Find(rest, "to-source"); g != nil && r.Flags&nat.MapIPs == 0 {
		return args.Errorf(g, "--mapping needs an address in --to-source")
	}
	return nil
}

// checkMapping refuses SNAT of what arrives, which has no outside.
func checkMapping(c *xtables.Context, t xtables.Target) error {
	if m, ok := t.(*natTarget); ok && m.r.Flags&nat.EndpointIndependent != 0 && c.Points.Has(hook.Input) {
		return errors.New("--mapping works in POSTROUTING only; this rule is reached from INPUT")
	}
	return nil
}

func appendMapping(b []byte, r *nat.Range) []byte {
	if r.Flags&nat.EndpointIndependent == 0 {
		return b
	}
	b = append(args.Name(b, false, "mapping"), " "+independent...)
	switch r.Filter {
	case conntrack.FilterEndpointIndependent:
		b = append(args.Name(b, false, "filtering"), " "+independent...)
	case conntrack.FilterAddressDependent:
		b = append(args.Name(b, false, "filtering"), " address-dependent"...)
	}
	return b
}

package verbs

// usage is what -h prints: not conntrack's text, but what is there.
const usage = `Connections of a machine, with the commands and options of conntrack(8) 1.4.7.
Usage: conntrack command [table] [options]

Commands
  -L list   -G get one   -I create   -A create if missing   -U update   -D delete
  -F flush  -C count     -E events   -S statistics          -V version  -h help

Tables: conntrack (the default), expect, dying, unconfirmed

Which connections
  -s, --src, --orig-src ADDRESS[/BITS]     -d, --dst, --orig-dst ADDRESS[/BITS]
  --mask-src ADDRESS                       --mask-dst ADDRESS
  -r, --reply-src ADDRESS                  -q, --reply-dst ADDRESS
  -p, --protonum NAME or NUMBER            -f, --family ipv4 or ipv6
  -n, --src-nat [ADDRESS[:PORT]]           -g, --dst-nat [ADDRESS[:PORT]]
  -j, --any-nat [ADDRESS[:PORT]]           -u, --status ASSURED,SEEN_REPLY,...
  -m, --mark VALUE[/MASK]                  -l, --label NAME,...
  -w, --zone N   --orig-zone N   --reply-zone N   -i, --id N   -c, --secmark N
of tcp, udp, udplite, sctp, dccp: --sport --dport --reply-port-src --reply-port-dst
of tcp, sctp, dccp: --state; of icmp, icmpv6: --icmp-type --icmp-code --icmp-id
(--icmpv6-...); of gre: --srckey --dstkey --reply-key-src --reply-key-dst

What they get
  -t, --timeout SECONDS   --label-add NAME,...   --label-del [NAME,...]
  --helper NAME (of weir) --orig-vtag N   --reply-vtag N   -z, --zero

What is printed
  -o, --output extended,id,timestamp,ktimestamp,labels,xml,save,userspace
               and json, flat, proc (of weir)
  -e, --event-mask NEW,UPDATES,DESTROY,ALL

Expectations
  --tuple-src --tuple-dst --mask-src --mask-dst --tuple-port-src --tuple-port-dst
  --mask-port-src --mask-port-dst
`

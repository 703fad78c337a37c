# shorewall with its example of two interfaces: it tries out what iptables can do, compiles, starts, and stops.
# needs: shorewall
# version: shorewall version
mkdir -p var && mount --bind var /var/lib/shorewall && own /etc/shorewall
ip link add lan0 type veth peer name wan0 2>/dev/null
cp /usr/share/doc/shorewall/examples/two-interfaces/* /etc/shorewall/ && gunzip -f /etc/shorewall/*.gz 2>/dev/null
sed -i 's/eth0/wan0/; s/eth1/lan0/' /etc/shorewall/*
sed -i 's/^AUTOHELPERS=.*/AUTOHELPERS=No/; s/^STARTUP_ENABLED=.*/STARTUP_ENABLED=Yes/' /etc/shorewall/shorewall.conf
shorewall start >&2; show start $?
shorewall drop 198.51.100.7 >&2; shorewall reload >&2; show reload $?
shorewall stop >&2; show stop $?
shorewall clear >&2; show clear $?

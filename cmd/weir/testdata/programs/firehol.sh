# firehol starts with an example of two interfaces, and stops.
# needs: firehol ip
# version: dpkg-query -W firehol
own /etc/firehol; own /etc/default; own /etc/iproute2
sed -i 's/^START_FIREHOL=.*/START_FIREHOL=YES/' /etc/default/firehol
mkdir -p spool services && mount --bind spool /var/spool && { [ ! -d /var/cache/firehol ] || own /var/cache/firehol; }
# It asks the kernel which tables there are, where weir has none.
printf '%s\n' raw mangle nat filter > tables
cp -a /usr/lib/firehol libfirehol && mount --bind libfirehol /usr/lib/firehol && sed -i "s#/proc/net/ip6\?_tables_names#$OUT/tables#" /usr/lib/firehol/firehol
ip link add lan0 type veth peer name wan0 2>/dev/null
cat > /etc/firehol/firehol.conf <<'F'
version 6
home="192.0.2.0/24"
interface4 wan0 internet
	protection strong
	server "http https" accept
	client all accept
interface4 lan0 lan src "$home"
	policy reject
	server "ssh dns ping" accept
	client all accept
router4 out inface lan0 outface wan0
	masquerade
	route all accept
F
firehol nofast start >&2 </dev/null
show start $?
firehol stop >&2 </dev/null
show stop $?

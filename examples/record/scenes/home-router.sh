# A home: pc -- lan0 gw wan0 -- isp -- web. The line from isp to web takes
# 1400 bytes and loses packets.
interfaces="lan0 wan0"
capture=browse.pcapng

topology() {
	space pc; space isp; space web
	router isp
	cable gw lan0 pc eth0
	cable gw wan0 isp eth0
	cable isp eth1 web eth0 1400
	address gw lan0 192.0.2.1/24 2001:db8:1::1/64
	address gw wan0 203.0.113.2/24 2001:db8:2::2/64
	address pc eth0 192.0.2.10/24 2001:db8:1::10/64
	address isp eth0 203.0.113.1/24 2001:db8:2::1/64
	address isp eth1 198.51.100.1/24 2001:db8:80::1/64
	address web eth0 198.51.100.80/24 198.51.100.53/24 2001:db8:80::80/64 2001:db8:80::53/64
	knows gw lan0 pc/eth0 192.0.2.10 2001:db8:1::10
	knows pc eth0 gw/lan0 192.0.2.1 2001:db8:1::1
	knows gw wan0 isp/eth0 203.0.113.1 2001:db8:2::1
	knows isp eth0 gw/wan0 203.0.113.2 2001:db8:2::2
	knows isp eth1 web/eth0 198.51.100.80 198.51.100.53 2001:db8:80::80 2001:db8:80::53
	knows web eth0 isp/eth1 198.51.100.1 2001:db8:80::1
	on gw ip route add default via 203.0.113.1 dev wan0
	on gw ip route add default via 2001:db8:2::1 dev wan0
	on pc ip route add default via 192.0.2.1
	on pc ip route add default via 2001:db8:1::1
	on web ip route add default via 198.51.100.1
	on web ip route add default via 2001:db8:80::1
	on isp ip route add 2001:db8:1::/64 via 2001:db8:2::2
	on isp ip route add 192.0.2.0/24 via 203.0.113.2 # nobody honest has this one
	# The line is slow, has a queue of its own, and loses packets both ways.
	on web tc qdisc add dev eth0 root tbf rate 8mbit burst 6kb latency 30ms
	local p
	for p in tcp udp; do
		on isp iptables-legacy -t raw -A PREROUTING -p $p -m multiport --ports 53,80 \
			-m statistic --mode random --probability 0.03 -j DROP
		on isp ip6tables-legacy -t raw -A PREROUTING -p $p -m multiport --ports 53,80 \
			-m statistic --mode random --probability 0.03 -j DROP
	done
}

services() {
	daemon web "$tools" http :80
	daemon web dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
		--bind-interfaces --listen-address=198.51.100.53 --listen-address=2001:db8:80::53 \
		--address=/www.example.net/198.51.100.80 --address=/www.example.net/2001:db8:80::80
	daemon pc nc -lkn 192.0.2.10 22
}

play() {
	say names
	for n in www.example.net mail.example.net example.org; do
		try pc dig +tries=3 +time=1 @198.51.100.53 "$n" A
		try pc dig +tries=3 +time=1 @2001:db8:80::53 "$n" AAAA
	done
	try pc dig +tcp +tries=1 +time=3 @198.51.100.53 www.example.net A
	say browsing, with losses
	local r=(--resolve www.example.net:80:198.51.100.80 -s -o /dev/null --max-time 12)
	try pc curl "${r[@]}" http://www.example.net/200
	try pc curl "${r[@]}" http://www.example.net/250000
	try pc curl "${r[@]}" http://www.example.net/{1000,4000,16000,nothing} # one connection
	try pc curl -6 -s -o /dev/null --max-time 12 "http://[2001:db8:80::80]/120000"
	try pc curl "${r[@]}" http://www.example.net/slow
	say uploads, until the path MTU is known
	head -c 120000 /dev/zero >"$scratch/upload"
	try pc curl "${r[@]}" -T "$scratch/upload" http://www.example.net/
	try pc curl -6 -s -o /dev/null --max-time 12 -T "$scratch/upload" "http://[2001:db8:80::80]/"
	say ping, tracepath, closed ports
	try pc ping -n -c 5 -i 0.2 198.51.100.80
	try pc ping -n -c 3 -i 0.2 2001:db8:80::80
	try pc ping -n -c 2 -i 0.2 -s 4000 198.51.100.80 # fragments
	try pc ip route flush cache # forget what the upload learned
	try pc ping -n -c 2 -i 0.2 -W 1 -M do -s 1472 198.51.100.80
	try pc tracepath -n -m 4 198.51.100.80
	try pc tracepath -6 -n -m 4 2001:db8:80::80
	try pc nc -un -w 1 198.51.100.80 4000 <<<"nobody listens"
	try pc nc -n -w 1 -z 198.51.100.80 4001
	try pc ping -n -c 2 -i 0.2 192.0.2.1
	try pc nc -n -w 1 -z 192.0.2.1 80
	say uninvited
	try web nc -n -w 1 -z 203.0.113.2 22
	try web nc -n -w 1 -z 192.0.2.10 22
	try web nc -n -w 1 -z 2001:db8:1::10 22
	try web nc -un -w 1 203.0.113.2 53 <<<"a question"
	try web ping -n -c 2 -i 0.2 -W 1 203.0.113.2
}

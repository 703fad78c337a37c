# A host that publishes ports of its containers as Docker does. docker0 is
# one end of a wire to a switch; web and db hang on the switch.
interfaces="eth0 docker0"
capture=publish.pcapng

topology() {
	space client; space switch; space web; space db
	cable gw eth0 client eth0
	cable gw docker0 switch uplink
	cable switch web web eth0
	cable switch db db eth0
	on switch sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	on switch ip link add br0 type bridge forward_delay 0 mcast_snooping 0
	local port
	for port in uplink web db; do on switch ip link set "$port" master br0; done
	on switch bridge link set dev uplink hairpin on
	on switch ip link set br0 up
	address gw eth0 203.0.113.10/24 2001:db8:10::10/64
	address gw docker0 192.0.2.1/24 2001:db8:d::1/64
	address client eth0 203.0.113.50/24 198.51.100.80/32 2001:db8:10::50/64
	address web eth0 192.0.2.2/24 2001:db8:d::2/64
	address db eth0 192.0.2.3/24 2001:db8:d::3/64
	knows gw eth0 client/eth0 203.0.113.50 198.51.100.80 2001:db8:10::50
	knows client eth0 gw/eth0 203.0.113.10 2001:db8:10::10
	local c
	for c in web db; do
		knows "$c" eth0 gw/docker0 192.0.2.1 2001:db8:d::1
		on "$c" ip route add default via 192.0.2.1
		on "$c" ip route add default via 2001:db8:d::1
	done
	knows gw docker0 web/eth0 192.0.2.2 2001:db8:d::2
	knows gw docker0 db/eth0 192.0.2.3 2001:db8:d::3
	on gw ip route add default via 203.0.113.50 dev eth0
	on gw ip route add default via 2001:db8:10::50 dev eth0
	on client ip route add 192.0.2.0/24 via 203.0.113.10 # a client that knows too much
	on client ip route add 2001:db8:d::/64 via 2001:db8:10::10
}

services() {
	daemon web "$tools" http :80
	daemon client "$tools" http :80
	daemon db dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
		--bind-interfaces --listen-address=192.0.2.3 --listen-address=2001:db8:d::3 \
		--address=/db.example.net/192.0.2.3 --address=/db.example.net/2001:db8:d::3
}

play() {
	local quiet=(-s -o /dev/null --max-time 8) v4=203.0.113.10 v6=2001:db8:10::10
	say published TCP
	try client curl "${quiet[@]}" http://$v4:8080/40000
	try client curl "${quiet[@]}" "http://[$v6]:8080/40000"
	try client curl -Z "${quiet[@]}" http://$v4:8080/100 --next "${quiet[@]}" http://$v4:8080/200 \
		--next "${quiet[@]}" http://$v4:8080/300
	head -c 30000 /dev/zero >"$scratch/upload"
	try client curl "${quiet[@]}" -T "$scratch/upload" http://$v4:8080/
	say published UDP
	try client dig +tries=1 +time=2 -p 5353 @$v4 db.example.net A
	try client dig +tries=1 +time=2 -p 5353 @$v6 db.example.net AAAA
	say ports that lead nowhere
	try client nc -n -w 1 -z $v4 8081         # published, nobody listens in the container
	try client nc -n -w 1 -z $v6 8081
	try client nc -un -w 1 $v4 8082 <<<"to a closed UDP port"
	try client nc -n -w 1 -z $v4 9999         # not published, nobody listens on the host
	try client nc -un -w 1 $v4 9999 <<<"hello"
	try client nc -n -w 1 -z $v6 9999
	say around the host: straight to the container
	try client nc -n -w 1 -z 192.0.2.2 80
	try client nc -n -w 1 -z 2001:db8:d::2 80
	try client nc -n -w 1 -z 192.0.2.3 53
	try client ping -n -c 1 -W 1 192.0.2.2
	say from the container out
	try web curl "${quiet[@]}" http://198.51.100.80/20000
	try web curl "${quiet[@]}" "http://[2001:db8:10::50]/20000"
	try db ping -n -c 2 -i 0.2 198.51.100.80
	try db nc -un -w 1 198.51.100.80 4000 <<<"nobody there"
	try web tracepath -n -m 3 198.51.100.80
	say hairpin: a container by its own published port
	try web curl "${quiet[@]}" http://$v4:8080/5000
	try web curl "${quiet[@]}" "http://[$v6]:8080/5000"
	say a container and its host
	try web ping -n -c 2 -i 0.2 192.0.2.1
	try web ping -n -c 2 -i 0.2 $v4
	try web nc -n -w 1 -z 192.0.2.1 8080      # bound to 192.0.2.1 too: every local address counts
	try web nc -n -w 1 -z 192.0.2.1 22
	try client ping -n -c 2 -i 0.2 $v4
	try client ping -n -c 2 -i 0.2 $v6
}

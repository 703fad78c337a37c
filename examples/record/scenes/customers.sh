# Two customers with the same addresses behind one gateway: red -- red0 gw wan0 -- web, blue -- blue0 gw. Ports are
# chosen so that no two connections want one outside.
interfaces="red0 blue0 wan0"
capture=customers.pcapng

topology() {
	local c
	space web
	cable gw wan0 web eth0
	address gw wan0 203.0.113.2/24 2001:db8:2::2/64
	address web eth0 203.0.113.1/24 198.51.100.80/24 2001:db8:2::1/64 2001:db8:80::80/64
	knows gw wan0 web/eth0 203.0.113.1 2001:db8:2::1
	knows web eth0 gw/wan0 203.0.113.2 2001:db8:2::2
	on gw ip route add default via 203.0.113.1 dev wan0
	on gw ip route add default via 2001:db8:2::1 dev wan0
	for c in red blue; do
		space $c
		cable gw ${c}0 $c eth0
		address gw ${c}0 192.0.2.1/24 2001:db8:1::1/64
		address $c eth0 192.0.2.10/24 2001:db8:1::10/64
		knows gw ${c}0 $c/eth0 192.0.2.10 2001:db8:1::10
		knows $c eth0 gw/${c}0 192.0.2.1 2001:db8:1::1
		on $c ip route add default via 192.0.2.1
		on $c ip route add default via 2001:db8:1::1
	done
	on gw ip route add 192.0.2.0/24 dev red0 table 101
	on gw ip route add 192.0.2.0/24 dev blue0 table 102
	on gw ip -6 route add 2001:db8:1::/64 dev red0 table 101
	on gw ip -6 route add 2001:db8:1::/64 dev blue0 table 102
	for c in -4 -6; do
		on gw ip $c rule add fwmark 101 table 101 priority 100
		on gw ip $c rule add fwmark 102 table 102 priority 101
	done
}

services() {
	daemon web "$tools" http :80
	daemon web "$tools" echo 7
}

play() {
	local n=0 c p at
	# The rules have counted multicast listener reports, which are not captured.
	for c in raw mangle; do on gw ip6tables-legacy -t $c -Z; done
	for c in red blue; do
		say $c
		n=$((n + 1))
		for at in 198.51.100.80 "[2001:db8:80::80]"; do
			try $c curl -s -o /dev/null --max-time 8 --local-port 4000$n "http://$at/30000"
		done
	done
	say both at once
	# Each asks while the other one's connection is open, from the same address.
	for c in red blue; do
		n=$((n + 1))
		try $c bash -c "(for i in 1 2 3 4; do echo line \$i; sleep 0.3; done) | nc -4 -n -N -w 2 -p 4000$n 198.51.100.80 7" &
		p[$n]=$!
		sleep 0.15
	done
	wait "${p[@]}"
	say ping, closed ports, each other
	for c in red blue; do
		n=$((n + 1))
		try $c ping -n -c 2 -i 0.2 -e 100$n 198.51.100.80
		try $c ping -n -c 2 -i 0.2 -e 100$n 2001:db8:80::80
		try $c nc -4 -un -w 1 -p 4000$n 198.51.100.80 9 <<<"is anybody there"
		try $c nc -6 -un -w 1 -p 4000$n 2001:db8:80::80 9 <<<"is anybody there"
	done
	try web bash -c "exec 3<>/dev/udp/203.0.113.2/40001; echo uninvited >&3"
}

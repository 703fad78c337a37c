# A guarded server behind a gateway. On the outside wire sits one host with
# two faces: alice, an honest client (203.0.113.20), and mallory (.66), who
# also sends in other people's names.
interfaces="lan0 wan0"
capture=attack.pcapng

topology() {
	space server; space outside
	cable gw lan0 server eth0
	cable gw wan0 outside eth0
	address gw lan0 192.0.2.1/24 2001:db8:1::1/64
	address gw wan0 203.0.113.1/24 2001:db8:2::1/64
	address server eth0 192.0.2.80/24 2001:db8:1::80/64
	address outside eth0 203.0.113.20/24 203.0.113.66/24 2001:db8:2::20/64 2001:db8:2::66/64
	knows gw lan0 server/eth0 192.0.2.80 192.0.2.81 2001:db8:1::80
	knows server eth0 gw/lan0 192.0.2.1 2001:db8:1::1
	knows gw wan0 outside/eth0 203.0.113.20 203.0.113.66 203.0.113.254 2001:db8:2::20 2001:db8:2::66 2001:db8:2::fe
	knows outside eth0 gw/wan0 203.0.113.1 2001:db8:2::1
	on gw ip route add default via 203.0.113.254 dev wan0
	on gw ip route add default via 2001:db8:2::fe dev wan0
	on server ip route add default via 192.0.2.1
	on server ip route add default via 2001:db8:1::1
	on outside ip route add default via 203.0.113.1 src 203.0.113.20
	on outside ip route add default via 2001:db8:2::1 src 2001:db8:2::20
}

services() {
	daemon server "$tools" http :80
	daemon server "$tools" echo 7000
	daemon server "$tools" sink 9000
	daemon gw "$tools" sink 514
}

play() {
	local gate=${mac_of[gw/wan0]} m4=203.0.113.66 m6=2001:db8:2::66 s4=192.0.2.80 s6=2001:db8:1::80
	local kind
	say honest
	try outside curl -s -o /dev/null --max-time 5 http://$s4/20000
	try outside curl -s -o /dev/null --max-time 5 "http://[$s6]/20000"
	say scans
	try outside nc -n -w 1 -z -s $m4 $s4 78-82
	try outside "$tools" scan -mac "$gate" -kind syn -from $m4:40000 -to $s4 -ports 1-100
	for kind in fin null xmas ack synfin; do
		try outside "$tools" scan -mac "$gate" -kind $kind -from $m4:41000 -to $s4 -ports 70-89
	done
	try outside "$tools" scan -mac "$gate" -kind syn -from $m4:42000 -to 203.0.113.1 -ports 20-39
	try outside "$tools" scan -mac "$gate" -kind syn -from "[$m6]:40000" -to $s6 -ports 60-99
	try outside "$tools" scan -mac "$gate" -kind xmas -from "[$m6]:41000" -to $s6 -ports 75-84
	say resets into a session of alice
	(
		for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "line $i"; sleep 0.25; done |
			timeout 6 ip netns exec "$prefix-outside" nc -n -w 4 -s 203.0.113.20 $s4 7000 >/dev/null 2>&1 || true
	) &
	local session=$!
	try outside "$tools" reset -mac "$gate" -server $s4:7000
	wait "$session" || true
	say fragments
	try outside "$tools" fragments -mac "$gate" -from $m4:5000 -to $s4:9000 -tcp $s4:80
	try outside "$tools" fragments -mac "$gate" -from "[$m6]:5000" -to "[$s6]:9000" -tcp "[$s6]:80"
	say what cannot be
	try outside "$tools" strange -mac "$gate" -from $m4:6000 -to $s4:80 -gateway 203.0.113.1
	say floods
	try outside "$tools" flood -mac "$gate" -gap 1ms -count 300 -from $m4:7000 -to $s4:9999
	try outside "$tools" flood -mac "$gate" -gap 1ms -count 200 -spoof -from 198.51.100.1:10000 -to $s4:9000
	try outside "$tools" flood -mac "$gate" -gap 1ms -count 60 -spoof -from 198.51.100.1:20000 -to 203.0.113.1:514
	try outside "$tools" flood -mac "$gate" -gap 1ms -count 40 -from "[$m6]:7000" -to "[$s6]:9999"
	say honest again
	try outside curl -s -o /dev/null --max-time 5 http://$s4/5000
	sleep 11 # so that no short timeout ends just as the tables are read
}

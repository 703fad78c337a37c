# An IPv6 router between a LAN, a DMZ with a smaller MTU, and the world,
# where a farther router has a smaller one still.
interfaces="lan0 dmz0 wan0"
capture=sixes.pcapng

topology() {
	space pc; space server; space isp; space far
	router isp
	cable gw lan0 pc eth0
	cable gw dmz0 server eth0 1400
	cable gw wan0 isp eth0
	cable isp eth1 far eth0 1300
	address gw lan0 2001:db8:1::1/64
	address gw dmz0 2001:db8:2::1/64
	address gw wan0 2001:db8:3::2/64
	address pc eth0 2001:db8:1::10/64
	address server eth0 2001:db8:2::80/64
	address isp eth0 2001:db8:3::1/64
	address isp eth1 2001:db8:4::1/64
	address far eth0 2001:db8:4::80/64
	knows gw lan0 pc/eth0 2001:db8:1::10
	knows pc eth0 gw/lan0 2001:db8:1::1
	knows gw dmz0 server/eth0 2001:db8:2::80
	knows server eth0 gw/dmz0 2001:db8:2::1
	knows gw wan0 isp/eth0 2001:db8:3::1
	knows isp eth0 gw/wan0 2001:db8:3::2
	knows isp eth1 far/eth0 2001:db8:4::80
	knows far eth0 isp/eth1 2001:db8:4::1
	on gw ip route add default via 2001:db8:3::1 dev wan0
	on gw ip route add unreachable 2001:db8:dead::/48
	on pc ip route add default via 2001:db8:1::1
	on server ip route add default via 2001:db8:2::1
	on far ip route add default via 2001:db8:4::1
	on isp ip route add 2001:db8:1::/64 via 2001:db8:3::2
	on isp ip route add 2001:db8:2::/64 via 2001:db8:3::2
	on isp ip route add 2001:db8:9::/64 via 2001:db8:3::2
}

services() {
	daemon server "$tools" http :80
	daemon server iperf3 -s -p 5201
	daemon far "$tools" http :80
	daemon far "$tools" sink 7000
	daemon server "$tools" sink 7000
	daemon pc "$tools" http :80
	daemon server "$tools" echo 7
}

play() {
	local srv=2001:db8:2::80 far=2001:db8:4::80 pc=2001:db8:1::10
	say ping and paths
	try pc ping -n -c 3 -i 0.2 $far
	try pc ping -n -c 2 -i 0.2 2001:db8:1::1
	try pc tracepath -6 -n -m 5 $far
	try pc tracepath -6 -n -m 4 $srv
	try pc ping -n -c 2 -i 0.2 -W 1 -M do -s 1440 $srv  # too big for the gateway's next wire
	say fragments
	try pc ping -n -c 3 -i 0.2 -W 1 -s 3000 $far
	try far ping -n -c 2 -i 0.2 -W 1 -s 2500 $srv
	head -c 4000 /dev/zero >"$scratch/datagram"
	try pc bash -c "exec 3<>/dev/udp/$far/7000; cat $scratch/datagram >&3"
	try server bash -c "exec 3<>/dev/udp/$far/7000; cat $scratch/datagram >&3"
	say web and iperf3
	try pc curl -s -o /dev/null --max-time 8 "http://[$srv]/60000"
	try pc curl -s -o /dev/null --max-time 8 "http://[$far]/60000"
	head -c 60000 /dev/zero >"$scratch/upload"
	try pc curl -s -o /dev/null --max-time 8 -T "$scratch/upload" "http://[$far]/"
	try far curl -s -o /dev/null --max-time 8 "http://[$srv]/slow"
	try pc iperf3 -6 -c $srv -p 5201 -n 200K
	try pc iperf3 -6 -c $srv -p 5201 -n 200K -R
	try pc iperf3 -6 -c $srv -p 5201 -u -b 1M -n 60K -l 1000
	say a session typed by hand
	try pc bash -c "(for i in 1 2 3 4 5; do echo line \$i; sleep 0.3; done) | nc -6 -n -N -w 2 $srv 7"
	say uninvited
	try far curl -s -o /dev/null --max-time 1 "http://[$pc]/"
	try far nc -6 -n -w 1 -z $srv 22
	try far nc -6 -n -w 1 -z 2001:db8:3::2 22
	try far nc -6 -un -w 1 $pc 123 <<<"what time is it"
	try far ping -n -c 1 -W 1 $pc
	try far nc -6 -n -w 1 -z 2001:db8:9::1 80          # comes back: routed out where it came in
	try server nc -6 -n -w 1 -z $pc 80                 # the DMZ may not open anything inward
	say nowhere
	try pc nc -6 -n -w 1 -z 2001:db8:dead::1 80
	try pc nc -6 -un -w 1 $srv 4000 <<<"nobody listens"
	try pc nc -6 -n -w 1 -z $srv 4001
	try pc nc -6 -n -w 1 -z 2001:db8:1::1 4002
	sleep 3 # so that no short timeout ends just as the tables are read
}

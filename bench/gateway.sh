#!/bin/bash
# TCP through a masquerading gateway, in network namespaces of this script's own:
# through `weir run` over two TUN devices, and through the kernel's own gateway
# over veth. iperf3 on both ends, all of it on the same machine. Needs root.
#
# usage: bench/gateway.sh [seconds [weir's binary]]
set -euo pipefail
seconds=${1:-5}
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
weir=${2:-$dir/weir}
[ -n "${2:-}" ] || CGO_ENABLED=0 go build -o "$weir" ./cmd/weir
n=wb$$
pids=()
end() {
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
	for x in c g s; do ip netns del $n$x 2>/dev/null || true; done
	rm -rf "$dir"
}
trap end EXIT
for x in c g s; do
	ip netns add $n$x
	ip -n $n$x link set lo up
done
at() { local x=$1; shift; ip netns exec $n$x "$@"; }

# ends DEVICE-of-client DEVICE-of-server: addresses and routes of the two hosts.
ends() {
	ip -n ${n}c addr add 192.0.2.10/24 dev $1 && ip -n ${n}c link set $1 up && ip -n ${n}c route add default via 192.0.2.1 dev $1
	ip -n ${n}s addr add 203.0.113.1/24 dev $2 && ip -n ${n}s link set $2 up
}
# Mbit/s of one run; further arguments go to iperf3.
load() {
	at c iperf3 -c 203.0.113.1 -t "$seconds" -J "$@" |
		python3 -c 'import json,sys; r=json.load(sys.stdin)["end"]; print("%.1f Gbit/s, %d retransmits" % (r["sum_received"]["bits_per_second"]/1e9, r["sum_sent"].get("retransmits",0)))'
}
runs() {
	at s iperf3 -s -1 -D; sleep 0.3; echo "$1, out: $(load)"
	at s iperf3 -s -1 -D; sleep 0.3; echo "$1, back: $(load -R)"
	at s iperf3 -s -1 -D; sleep 0.3; echo "$1, 4 flows: $(load -P 4)"
}

cat >"$dir/rules.v4" <<'R'
*nat
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -j ACCEPT
COMMIT
R
cat >"$dir/machine.yaml" <<'R'
interfaces:
  - {name: lan0, addresses: [192.0.2.1/24], link: tun}
  - {name: wan0, addresses: [203.0.113.2/24], link: tun}
R

# The kernel.
ip link add lan0 netns ${n}g type veth peer name veth0 netns ${n}c
ip link add wan0 netns ${n}g type veth peer name veth0 netns ${n}s
ends veth0 veth0
ip -n ${n}g addr add 192.0.2.1/24 dev lan0 && ip -n ${n}g link set lan0 up
ip -n ${n}g addr add 203.0.113.2/24 dev wan0 && ip -n ${n}g link set wan0 up
at g sysctl -qw net.ipv4.ip_forward=1
at g iptables-legacy-restore <"$dir/rules.v4"
runs "kernel, veth"
ip -n ${n}g link del lan0
ip -n ${n}g link del wan0

# weir.
ip netns exec ${n}g "$weir" run --control none "$dir" 2>"$dir/log" &
pids+=($!)
for i in $(seq 100); do grep -q running "$dir/log" && break; sleep 0.05; done
ip -n ${n}g link set lan0 netns ${n}c
ip -n ${n}g link set wan0 netns ${n}s
ends lan0 wan0
runs "weir, TUN"
cat "$dir/log" >&2

#!/bin/bash
# Records an example again: record.sh NAME [DIRECTORY]
#
# NAME is a scene in scenes/. The machine is built as namespaces from the
# files in DIRECTORY (default: ../NAME), real programs talk through it, and
# what the kernel saw and did goes to DIRECTORY and DIRECTORY/kernel.
# Wants root, Go, and these Debian packages (it installs nothing):
#   iproute2 iptables conntrack procps util-linux curl bind9-dnsutils
#   dnsmasq-base iperf3 iputils-ping iputils-tracepath netcat-openbsd
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=${1:?usage: record.sh NAME [DIRECTORY]}
[ -f "$here/scenes/$name.sh" ] || { echo "no scene $name: $(ls "$here/scenes")" >&2; exit 2; }
dir=$(cd "${2:-$here/../$name}" && pwd)
for tool in ip tc iptables-legacy-restore ip6tables-legacy-restore conntrack sysctl \
	taskset ss bridge curl dig dnsmasq iperf3 ping tracepath nc go; do
	command -v "$tool" >/dev/null || { echo "$tool is missing, see the packages in $0" >&2; exit 1; }
done

prefix=weirex$$
scratch=$(mktemp -d)
tools=$scratch/record
(cd "$here" && go build -o "$tools" .)
# One CPU for everything: packets are then handled one after another, and
# the order in the capture is the order in which the kernel decided.
taskset -cp 0 $$ >/dev/null

spaces=()
jobs_started=()
declare -A mac_of
macs=0

cleanup() {
	local s p
	for p in "${jobs_started[@]}"; do kill "$p" 2>/dev/null || true; done
	for s in "${spaces[@]}"; do ip netns del "$prefix-$s" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$scratch"
}
trap cleanup EXIT

# on SPACE COMMAND...: run a command in a namespace.
on() { local s=$1; shift; ip netns exec "$prefix-$s" "$@"; }

# daemon SPACE COMMAND...: start a server there; it ends with the script.
daemon() {
	local s=$1; shift
	ip netns exec "$prefix-$s" "$@" >>"$scratch/daemons.log" 2>&1 &
	jobs_started+=($!)
}

# space NAME: a namespace that says nothing by itself (no discovery, no
# duplicate address detection, no rate limits).
space() {
	spaces+=("$1")
	ip netns add "$prefix-$1"
	on "$1" sysctl -qw net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.all.rp_filter=0 \
		net.ipv4.conf.default.send_redirects=0 net.ipv4.conf.all.send_redirects=0 \
		net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratelimit=0 \
		net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0 \
		net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0 \
		net.ipv6.conf.default.addr_gen_mode=1
	on "$1" ip link set lo up
}

# router SPACE: let it forward.
router() { on "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; }

# cable SPACE IF SPACE IF [MTU]: a wire without offloads.
cable() {
	local a=$1 ai=$2 b=$3 bi=$4 mtu=${5:-1500} ma mb
	macs=$((macs + 2))
	printf -v ma '00:00:5e:00:53:%02x' $((macs - 1))
	printf -v mb '00:00:5e:00:53:%02x' $macs
	mac_of[$a/$ai]=$ma mac_of[$b/$bi]=$mb
	ip link add "$ai" address "$ma" mtu "$mtu" netns "$prefix-$a" type veth \
		peer name "$bi" address "$mb" mtu "$mtu" netns "$prefix-$b"
	on "$a" "$tools" offload "$ai"
	on "$b" "$tools" offload "$bi"
	on "$a" ip link set "$ai" up
	on "$b" ip link set "$bi" up
}

# address SPACE IF ADDRESS/LENGTH...
address() {
	local s=$1 i=$2 a; shift 2
	for a in "$@"; do on "$s" ip addr add "$a" dev "$i"; done
}

# knows SPACE IF OTHER/OTHERIF ADDRESS...: a neighbour that needs no asking.
knows() {
	local s=$1 i=$2 m=${mac_of[$3]} a; shift 3
	for a in "$@"; do on "$s" ip neigh replace "$a" lladdr "$m" dev "$i" nud permanent; done
}

# try SPACE COMMAND...: a step of the play that may fail, with a bound on its time.
try() {
	local s=$1; shift
	echo "+ $s: $*" >>"$scratch/play.log"
	timeout 20 ip netns exec "$prefix-$s" "$@" >>"$scratch/play.log" 2>&1 || true
}

# say TEXT: where the play is.
say() { echo "$name: $*"; }

# The scene sets: interfaces (of gw), capture (file name), and the functions
# topology (spaces and wires, without gw itself), services, play.
. "$here/scenes/$name.sh"

space gw
on gw sysctl -q -p "$dir/sysctl.conf"
topology
on gw iptables-legacy-restore <"$dir/rules.v4"
on gw ip6tables-legacy-restore <"$dir/rules.v6"
services
sleep 1
if [ ! -f "$dir/machine.yaml" ]; then
	on gw ip -j addr >"$dir/addr.json"
	on gw ip -j route show table all >"$dir/route.json"
	on gw ip -j -6 route show table all >"$dir/route6.json"
fi
on gw ss -Hlntu >"$dir/sockets.txt"

mkdir -p "$dir/kernel"
ip netns exec "$prefix-gw" conntrack -E -o extended,timestamp -b 8388608 >"$dir/kernel/events.txt" 2>"$scratch/events.log" &
events=$!
jobs_started+=("$events")
ip netns exec "$prefix-gw" "$tools" capture -i "${interfaces// /,}" -in "$dir/$capture" -out "$dir/kernel/out.pcapng" \
	-ready "$scratch/ready" >"$scratch/capture.log" 2>&1 &
recorder=$!
jobs_started+=("$recorder")
until [ -f "$scratch/ready" ]; do kill -0 "$recorder"; sleep 0.1; done
sleep 0.3

play

sleep 1 # what is under way ends
date +%s.%N >"$dir/kernel/end.txt"
on gw conntrack -L -f ipv4 -o extended 2>/dev/null >"$dir/kernel/conntrack.txt"
on gw conntrack -L -f ipv6 -o extended 2>/dev/null >>"$dir/kernel/conntrack.txt"
on gw iptables-legacy-save -c >"$dir/kernel/rules.v4"
on gw ip6tables-legacy-save -c >"$dir/kernel/rules.v6"
on gw conntrack -S >"$dir/kernel/stats.txt"
kill "$recorder" "$events"
wait "$recorder" || { cat "$scratch/capture.log" >&2; exit 1; }
wait "$events" || true
cat "$scratch/capture.log"
[ -z "${KEEP_LOGS:-}" ] || cp "$scratch"/*.log "$KEEP_LOGS"

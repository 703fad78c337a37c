#!/bin/bash
# Small packets through a masquerading gateway with links by AF_XDP over veth, in
# network namespaces of the test's own: the load is datagrams of 46 bytes of 1,000
# connections, for so many seconds, from one process on the same machine. Needs root.
#
# usage: bench/small.sh [seconds]
set -euo pipefail
cd "$(dirname "$0")/.."
WEIR_SMALL_PACKETS=${1:-5} go test ./gateway -run '^TestSmallPackets$' -count=1 -v | grep M/s

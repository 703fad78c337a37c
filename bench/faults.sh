#!/bin/bash
# Faults under load, in network namespaces of the test's own: one gateway is killed
# again and again, also in the midst of takeovers; another one loses its devices,
# has full queues, no room for its state, a control socket that is flooded and
# 10,000 readers that do not read. Says how often, and how much memory it had.
# Needs root.
#
# usage: bench/faults.sh [minutes [packet or xdp]]
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
minutes=${1:-10}
WEIR_REQUIRE_KERNEL=1 WEIR_FAULTS_LINK=${2:-packet} WEIR_FAULTS=${minutes}m go test ./gateway -run 'UnderLoad$' -count=1 -v -timeout $((minutes + 10))m

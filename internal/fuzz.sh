#!/usr/bin/env bash
# Runs every fuzz target for the time given (default 10m each).
set -u
cd "$(dirname "$0")/.."
time=${1:-10m}
fail=0
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	for target in $(grep -rhoE --include='*_test.go' '^func (Fuzz[A-Za-z0-9_]+)' "$dir" --exclude-dir='*' | sed 's/func //' | sort -u); do
		echo "== $dir $target $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" || fail=1
	done
done
exit $fail

#!/usr/bin/env bash
# make test: installs what the tests need, runs all that can run here, and says
# in a line each what was skipped and why.
set -u
cd "$(dirname "$0")/.."
fail=0
say() { printf '== %s\n' "$*"; }

root=no
if [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; then root=yes; fi

# missing prints the packages of the programs that are not here.
missing() {
	for pair in "$@"; do
		command -v "${pair%%:*}" >/dev/null 2>&1 || printf ' %s' "${pair##*:}"
	done
}
# install installs packages, whose daemons are not to be started; it fails where
# that is not possible.
install() {
	local policy= status
	command -v apt-get >/dev/null 2>&1 || return 1
	say "installing $*"
	[ -e /usr/sbin/policy-rc.d ] || { policy=/usr/sbin/policy-rc.d; printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy; }
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
	status=$?
	[ -z "$policy" ] || rm -f $policy
	return $status
}

if [ $root = yes ]; then
	need=$(missing iptables-legacy:iptables conntrack:conntrack ip:iproute2 tcpdump:tcpdump tc:iproute2 gcc:gcc)
	[ -z "$need" ] || install $need || fail=1
	# Programs that weir is tried on; a test whose program is not here says so.
	more=$(missing ipset:ipset nfct:nfct ufw:ufw fail2ban-server:fail2ban shorewall:shorewall firehol:firehol stun:stun-client)
	[ -z "$more" ] || install $more || say "skipped: tests with$more (cannot be installed)"
	more=$(missing curl:curl dig:bind9-dnsutils iperf3:iperf3 lftp:lftp dnsmasq:dnsmasq-base traceroute:traceroute \
		tracepath:iputils-tracepath ssh:openssh-client gtlsclient:ngtcp2-client gtlsserver:ngtcp2-server)
	[ -z "$more" ] || install $more || say "skipped: tests with$more (cannot be installed)"
	# Packages that start servers are installed only where none is started.
	more=$(missing sshd:openssh-server vsftpd:vsftpd turnserver:coturn)
	[ ! -x /usr/sbin/policy-rc.d ] || /usr/sbin/policy-rc.d ssh start >/dev/null 2>&1
	if [ $? != 101 ] && [ -n "$more" ]; then
		say "skipped: tests with$more (not installed: they would start servers)"
	elif [ -n "$more" ]; then
		install $more || say "skipped: tests with$more (cannot be installed)"
	fi
	export WEIR_REQUIRE_KERNEL=1 # a comparison that cannot run is a failure
else
	say "skipped: comparison with the running kernel (needs Linux and root)"
fi

say "build and vet"
CGO_ENABLED=0 go build ./... || fail=1
go vet ./... || fail=1

# again LOG ARG... runs once more, alone, the tests that a log says failed in packages
# which stand beside a running kernel or real programs: on a busy machine those
# can lose a race with the clock. What passes then is named as unsteady; what
# fails twice has failed. No other package gets a second chance.
beside='weir/(internal/(linuxdiff|kernel|corpus)|gateway|cmd/weir|examples)'
again() {
	local log=$1 pkg names # the names are read from it
	shift
	grep -qE 'DATA RACE|^panic:|^FAIL.*\[(build|setup) failed\]' "$log" && return 1
	[ -z "$(grep -E '^FAIL[[:space:]]+weir' "$log" | awk '{print $2}' | grep -vxE "$beside")" ] || return 1
	# The names stand before their package.
	awk '/^--- FAIL: / { n = n (n ? "|" : "") $3 } /^ok / { n = "" } /^FAIL\t/ { print $2, (n ? n : "-"); n = "" }' "$log" |
		while read -r pkg names; do
			[ "$names" != - ] || exit 1
			say "once more: $pkg $names"
			go test "$@" -count=1 -timeout 5m -run "^($names)\$" "$pkg" || exit 1
			say "UNSTEADY: $pkg $names failed at first and passed alone"
		done
}

say "tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -shuffle=on -timeout 15m ./... 2>&1 | tee "$log"
[ "${PIPESTATUS[0]}" = 0 ] || again "$log" || fail=1

if (cd examples/embed && go mod download >/dev/null 2>&1); then
	say "embedding examples"
	(cd examples/embed && go vet ./... && go test ./...) || fail=1
else
	say "skipped: embedding examples (their modules cannot be fetched)"
fi

if command -v gcc >/dev/null 2>&1; then
	say "race detector"
	export CGO_ENABLED=1 WEIR_REQUIRE_KERNEL=
	go test -race -short -timeout 10m $(go list ./... | grep -v -e /linuxdiff -e /internal/kernel) 2>&1 | tee "$log"
	[ "${PIPESTATUS[0]}" = 0 ] || again "$log" -race -short || fail=1
else
	say "skipped: race detector (needs gcc)"
fi

if [ $fail = 0 ]; then say "all passed"; else say "FAILED"; fi
exit $fail

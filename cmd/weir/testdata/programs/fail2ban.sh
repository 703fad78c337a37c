# fail2ban with three of its actions: jails begin, addresses are banned and let go, jails end.
# needs: fail2ban-server fail2ban-client
# version: fail2ban-server -V
cp -a /etc/fail2ban f2b; rm -f f2b/jail.d/*; : >log
printf '[Definition]\ndbfile = None\nallowipv6 = yes\n' >f2b/fail2ban.local
cat >f2b/jail.local <<J
[DEFAULT]
backend = polling
logpath = $OUT/log
filter = sshd
bantime = 600
[multi]
enabled = true
port = ssh,http
banaction = iptables-multiport
[all]
enabled = true
banaction = iptables-allports
[set]
enabled = true
port = smtp
banaction = iptables-ipset
J
f="-c f2b -s /run/f2b.sock -p /run/f2b.pid"
fail2ban-server $f -f -x --logtarget STDOUT --loglevel ERROR start >&2 &
server=$!
n=0; until fail2ban-client $f ping >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 100 ] || exit 98; sleep 0.1; done
# The bans are made by threads of the server: wait for the last.
until_there() { n=0; until { iptables-save; ip6tables-save; ipset save; } 2>/dev/null | grep -qe "$1"; do n=$((n+1)); [ $n -lt 100 ] || exit 97; sleep 0.1; done; }
until_gone() { n=0; while { iptables-save; ip6tables-save; ipset save; } 2>/dev/null | grep -qe "$1"; do n=$((n+1)); [ $n -lt 100 ] || exit 96; sleep 0.1; done; }
fail2ban-client $f set multi banip 198.51.100.7 >&2; until_there 198.51.100.7
fail2ban-client $f set multi banip 2001:db8::7 >&2; until_there 2001:db8::7
fail2ban-client $f set all banip 198.51.100.8 >&2; until_there 198.51.100.8
fail2ban-client $f set set banip 198.51.100.9 >&2; until_there 198.51.100.9
show banned 0
fail2ban-client $f set multi unbanip 198.51.100.7 >&2; until_gone 198.51.100.7
fail2ban-client $f set set unbanip 198.51.100.9 >&2; until_gone 198.51.100.9
show "let go" 0
fail2ban-client $f stop >&2; wait $server
show stopped $?

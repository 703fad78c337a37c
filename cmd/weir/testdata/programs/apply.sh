# iptables-apply: new rules on trial, kept when the operator answers and taken back when nobody does.
# needs: iptables-apply
# It would stop and start the system's fail2ban.
[ ! -e /etc/init.d/fail2ban ] || mount --bind /bin/true /etc/init.d/fail2ban || exit 95
iptables -A INPUT -s 192.0.2.0/24 -j ACCEPT
printf '*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n' >new
echo y | iptables-apply -t 5 "$OUT/new" >&2; show kept $?
printf '*filter\n-A INPUT -j DROP\nCOMMIT\n' >worse
iptables-apply -t 1 "$OUT/worse" </dev/null >&2; show "taken back" $?
printf '*filter\n-A INPUT --dprot 22 -j ACCEPT\nCOMMIT\n' >bad
iptables-apply -t 1 "$OUT/bad" </dev/null >&2; show "does not load" $?

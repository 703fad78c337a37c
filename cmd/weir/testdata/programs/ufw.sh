# ufw from first to last: enabled, with rules of every kind, one deleted, reset.
# needs: ufw
# version: ufw version | head -1
own /etc/ufw; own /etc/default
sed -i 's/^IPT_SYSCTL=.*/IPT_SYSCTL=/; s/^IPT_MODULES=.*/IPT_MODULES=/' /etc/default/ufw
{ ufw --force enable; } >&2; show enable $?
{ ufw allow 22/tcp && ufw deny from 198.51.100.0/24 && ufw limit 80/tcp && ufw reject out 25/tcp &&
	ufw allow proto udp from 2001:db8::/32 to any port 53 && ufw route allow in on lan0 out on wan0 to 203.0.113.9 port 443 proto tcp &&
	ufw insert 1 deny log from 192.0.2.66 comment 'a guest'; } >&2; show rules $?
{ ufw delete allow 22/tcp && ufw --force delete 1; } >&2; show deleted $?
ufw allow 99999/tcp >&2 2>&1; echo "a bad port: $?"
{ ufw default allow incoming; } >&2; show default $?
{ ufw --force reset; } >&2; show reset $?

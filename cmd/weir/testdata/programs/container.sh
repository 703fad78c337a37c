# What an engine of containers does: chains of its own, checks before it adds, published ports, a restore file without flush.
# needs: bash
iptables -w -t nat -N DOCKER; iptables -w -N DOCKER; iptables -w -N DOCKER-USER
iptables -w -t nat -N DOCKER 2>&1; echo "twice: $?"
add() { iptables -w -t $1 -C "${@:3}" 2>/dev/null || iptables -w -t $1 $2 "${@:3}"; }
for twice in 1 2; do
	add nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	add nat -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER ! --dst 127.0.0.0/8
	add nat -I POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	add filter -I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	add filter -I FORWARD -o docker0 -j DOCKER
	add filter -I FORWARD -j DOCKER-USER
done
iptables -w -P FORWARD DROP; show begin $?
iptables-restore -n <<R
*nat
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
COMMIT
*filter
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
R
show published $?
iptables-restore -n <<R 2>&1
*filter
-A DOCKER -j NOSUCH
COMMIT
R
show "a file that does not load" $?
iptables -w -t nat -D DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80; echo "delete: $?"
iptables -w -t nat -D DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80 2>&1; echo "delete again: $?"
iptables -w -X DOCKER 2>&1; echo "a chain in use: $?"
iptables -w -F DOCKER; iptables -w -D FORWARD -o docker0 -j DOCKER; iptables -w -X DOCKER; show end $?

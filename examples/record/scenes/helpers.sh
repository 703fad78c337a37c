# An office: pc -- lan0 gw wan0 -- far. Each protocol that opens further
# connections is spoken by a program of its own. Wants besides the packages of
# record.sh: vsftpd lftp tftpd-hpa tftp-hpa sip-tester ngircd snmp sane-utils
# pptpd pptp-linux.
interfaces="lan0 wan0"
capture=office.pcapng

topology() {
	space pc; space far
	cable gw lan0 pc eth0
	cable gw wan0 far eth0
	address gw lan0 192.0.2.1/24 2001:db8:1::1/64
	address gw wan0 203.0.113.2/24 2001:db8:2::2/64
	address pc eth0 192.0.2.10/24 2001:db8:1::10/64
	address far eth0 203.0.113.80/24 2001:db8:2::80/64
	knows gw lan0 pc/eth0 192.0.2.10 2001:db8:1::10
	knows pc eth0 gw/lan0 192.0.2.1 2001:db8:1::1
	knows gw wan0 far/eth0 203.0.113.80 2001:db8:2::80
	knows far eth0 gw/wan0 203.0.113.2 2001:db8:2::2
	on pc ip route add default via 192.0.2.1
	on pc ip route add default via 2001:db8:1::1
	on far ip route add 2001:db8:1::/64 via 2001:db8:2::2
}

services() {
	local d=$scratch/far
	mkdir -p "$d/files" "$d/empty" "$d/sane.far" "$d/sane.pc"
	chmod 755 "$scratch" "$d" "$d/files"
	seq 1 2000 >"$d/files/list"
	cat >"$d/vsftpd.conf" <<-CONF
		listen_ipv6=YES
		anonymous_enable=YES
		anon_root=$d/files
		secure_chroot_dir=$d/empty
		connect_from_port_20=YES
		seccomp_sandbox=NO
		isolate_network=NO
		background=NO
	CONF
	chmod 644 "$d/files/list"
	daemon far vsftpd "$d/vsftpd.conf"
	daemon far in.tftpd -L -s "$d/files" -a :69
	cat >"$d/ngircd.conf" <<-CONF
		[Global]
		Name = irc.example.net
		Info = an example
		ServerUID = 0
		ServerGID = 0
		[Options]
		DNS = no
		Ident = no
		PAM = no
	CONF
	daemon far ngircd -n -f "$d/ngircd.conf"
	daemon far sipp -sn uas -i 203.0.113.80 -p 5060 -mi 203.0.113.80 -mp 6000 -nostdin
	daemon far sipp -sn uas -i "[2001:db8:2::80]" -p 5060 -mi "[2001:db8:2::80]" -mp 6000 -nostdin
	daemon far nc -lku 203.0.113.80 162
	echo test >"$d/sane.far/dll.conf"
	printf '192.0.2.0/24\n203.0.113.0/24\n[2001:db8:1::]/64\n' >"$d/sane.far/saned.conf"
	cp /etc/sane.d/test.conf "$d/sane.far/"
	daemon far env SANE_CONFIG_DIR="$d/sane.far" saned -l -e
	echo net >"$d/sane.pc/dll.conf"
	: >"$d/sane.pc/net.conf"
	# Nobody dials: what stands in for pppd sends one frame and waits.
	printf '#!/bin/sh\nsleep 0.3\nprintf "\\176\\377\\175\\043\\300\\041\\175\\041\\175\\041\\175\\040\\175\\044\\321\\265\\176"\nsleep 3\n' >"$d/frames"
	chmod 755 "$d/frames"
	printf 'ppp %s\nlocalip 198.51.100.1\nremoteip 198.51.100.2-9\n' "$d/frames" >"$d/pptpd.conf"
	daemon far pptpd -f -c "$d/pptpd.conf" -p "$d/pptpd.pid" -o /dev/null
}

# fetch HOST MODE: list and get by FTP.
fetch() {
	try pc lftp -e "set net:timeout 3; set net:max-retries 1; set ftp:passive-mode $2; ls; get list -o /dev/null; bye" "ftp://$1"
}

play() {
	local four=203.0.113.80 six="2001:db8:2::80"
	say FTP
	fetch $four on
	fetch $four off
	fetch "[$six]" on
	fetch "[$six]" off
	say TFTP
	try pc tftp -4 $four -c get list /dev/null
	try pc tftp -6 $six -c get list /dev/null
	say IRC and a file between two who chat
	echo "good morning" | timeout 8 ip netns exec "$prefix-pc" nc -ln -w 3 192.0.2.10 4321 &
	local giver=$!
	{ printf 'NICK bob\r\nUSER bob 0 * :Bob\r\n'; sleep 4; printf 'QUIT\r\n'; } | timeout 8 ip netns exec "$prefix-far" nc -n 127.0.0.1 6667 >>"$scratch/play.log" &
	local bob=$!
	{ printf 'NICK alice\r\nUSER alice 0 * :Alice\r\n'; sleep 1; printf 'PRIVMSG bob :\001DCC SEND news 3221225994 4321 13\001\r\n'; sleep 1.5; printf 'QUIT\r\n'; } |
		timeout 8 ip netns exec "$prefix-pc" nc -n $four 6667 >>"$scratch/play.log" &
	local alice=$!
	sleep 1.8
	try far nc -n -w 1 203.0.113.2 4321
	wait $giver $bob $alice || true
	say SIP calls with sound
	local a
	for a in "192.0.2.10 $four" "[2001:db8:1::10] [$six]"; do
		set -- $a
		timeout 10 ip netns exec "$prefix-pc" sipp -sn uac "$2:5060" -i "$1" -p 5060 -mi "$1" -mp 7000 -m 2 -r 1 -d 1500 -nostdin >>"$scratch/play.log" 2>&1 &
		local caller=$!
		sleep 0.7
		local from=${1//[\[\]]/} to=${2//[\[\]]/}
		try pc nc -un -w 1 -s "$from" -p 7010 "$to" 6000 <<<"a sound"
		wait $caller || true
	done
	say a trap of SNMP
	try pc snmptrap -v 1 -c public $four:162 1.3.6.1.4.1.8072.2.3 192.0.2.10 6 17 4242
	say a scanner
	try pc env SANE_CONFIG_DIR="$scratch/far/sane.pc" scanimage -d "net:$four:test:0" --resolution 50 -x 20 -y 20 --format=pnm -o /dev/null
	try pc env SANE_CONFIG_DIR="$scratch/far/sane.pc" scanimage -d "net:[$six]:test:0" --resolution 50 -x 20 -y 20 --format=pnm -o /dev/null
	say PPTP
	{ sleep 1; printf '\176\377\175\043\300\041\175\041\175\041\175\040\175\044\321\265\176'; sleep 1; } |
		timeout 6 ip netns exec "$prefix-pc" pptp $four --nolaunchpppd --loglevel 0 >>"$scratch/play.log" 2>&1 || true
}

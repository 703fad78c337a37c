package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// families are the addresses of a comparison by IP version.
var families = []struct{ name, ping, client, server, far, wan, lan, url string }{
	{"IPv4", "-4", "192.0.2.10", "203.0.113.1", "198.51.100.1", "203.0.113.2", "192.0.2.1", "203.0.113.1"},
	{"IPv6", "-6", "2001:db8:1::10", "2001:db8:2::1", "2001:db8:9::1", "2001:db8:2::2", "2001:db8:1::1", "[2001:db8:2::1]"},
}

// TestSessionsOfProgramsAreAsThroughLinux runs real programs through Linux's own
// gateway and through weir with each kind of link, and compares outcomes and
// connections. No inside address is seen outside of any of them.
func TestSessionsOfProgramsAreAsThroughLinux(t *testing.T) {
	if testing.Short() {
		t.Skip("programs of others take long")
	}
	for _, p := range []string{"iptables-legacy-restore", "conntrack", "ss"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	rivals := []*rival{newKernelRival(t)}
	for _, kind := range []string{"packet", "xdp", "tun"} {
		rivals = append(rivals, newWeirRival(t, kind))
	}
	dir := serverFiles(t)
	var wg sync.WaitGroup
	for _, r := range rivals {
		r.serve(t)
		wg.Go(func() { r.daemons(t, dir) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	// Everyone knows his neighbours before anything is compared.
	for _, r := range rivals {
		for _, f := range families {
			eventually(t, r.name+": no way through", func() error {
				_, err := r.client.try("ping", "-c1", "-W1", f.server)
				return err
			})
		}
	}
	play(t, rivals, sessions(dir))
	// Not of the kernel: there, a sniffer may see what was written into the packet
	// after it, when it came to the gateway by veth.
	for _, r := range rivals[1:] {
		r.weir.stop()
		t.Run(r.name+" lets nothing out untranslated", r.sniffer.clean)
	}
}

// serverFiles are what the daemons read: a file to give, keys and settings. All
// users may read them.
func serverFiles(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	pub := filepath.Join(dir, "pub")
	if err := os.Mkdir(pub, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(pub, "file"), strings.Repeat("0123456789abcde\n", 1<<14))
	if err := os.Chmod(filepath.Join(pub, "file"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "vsftpd.conf"), `listen=NO
listen_ipv6=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=`+pub+`
connect_from_port_20=YES
pasv_min_port=40000
pasv_max_port=49999
secure_chroot_dir=/run/vsftpd/empty
seccomp_sandbox=NO
xferlog_enable=NO
`)
	writeFile(t, filepath.Join(dir, "sshd_config"), `UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UseDNS no
PidFile none
HostKey `+dir+`/key
AuthorizedKeysFile `+dir+`/key.pub
`)
	if _, err := exec.LookPath("ssh-keygen"); err == nil {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "key")).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v %s", err, out)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"weir.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	writeFile(t, filepath.Join(dir, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	return dir
}

// serve starts what needs no program: HTTP on both sides of the gateway.
func (r *rival) serve(t *testing.T) {
	for _, x := range []struct {
		at   *host
		addr string
	}{{r.server, "[::]:80"}, {r.client, "[::]:80"}} {
		l := x.at.listen("tcp", x.addr)
		s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
			from, _, _ := net.SplitHostPort(q.RemoteAddr)
			fmt.Fprintf(rw, "from %s, %d bytes\n", strings.TrimPrefix(from, "::ffff:"), pour(q.Body))
			if q.URL.Path == "/big" {
				_, _ = rw.Write(bytes.Repeat([]byte("x"), 4<<20))
			}
		})}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { s.Close() })
	}
	go echoUDP(r.server.listenPacket("udp", "[::]:7"))
}

// daemons starts the programs of the server that are installed.
func (r *rival) daemons(t *testing.T, files string) {
	txt := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 200)+",", 10), ",")
	for _, d := range []struct {
		network string
		port    int
		command []string
	}{
		{"tcp", 53, []string{"dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=",
			"--edns-packet-max=4096", "--address=/weir.test/192.0.2.77", "--address=/weir.test/2001:db8::77", "--txt-record=big.test," + txt}},
		{"tcp", 5201, []string{"iperf3", "-s"}},
		{"tcp", 21, []string{"vsftpd", filepath.Join(files, "vsftpd.conf")}},
		{"tcp", 22, []string{"sshd", "-D", "-e", "-f", filepath.Join(files, "sshd_config")}},
		{"tcp", 3478, []string{"turnserver", "-n", "-L", "198.51.100.1", "-L", "198.51.100.2", "-z", "-S", "--no-tls", "--no-dtls",
			"--no-cli", "--log-file=stdout", "--pidfile=turn.pid", "--db=turn.db"}},
		{"udp", 443, []string{"gtlsserver", "-q", "-d", filepath.Join(files, "pub"), "*", "443", filepath.Join(files, "tls.key"), filepath.Join(files, "tls.crt")}},
	} {
		if _, err := exec.LookPath(d.command[0]); err != nil {
			continue
		}
		if err := r.server.start(t.TempDir(), d.command[0], d.command[1:]...); err != nil {
			t.Errorf("%s: %v", d.command[0], err)
		} else if err := r.server.listens(d.network, d.port); err != nil {
			t.Errorf("%s: %v", d.command[0], err)
		}
	}
}

var (
	pingTime  = regexp.MustCompile(`time[= ].*|rtt .*|pipe .*`)
	curlError = regexp.MustCompile(`curl: \(\d+\).*`)
	traceTime = regexp.MustCompile(` +[0-9.]+ms|\(\?.*`)
)

// sessions are the comparisons, for both versions of IP.
func sessions(dir string) (all []session) {
	add := func(name, needs, want string, table func([]string) []string, run func(r *rival) string) {
		all = append(all, session{name: name, needs: strings.Fields(needs), want: want, table: table, run: run})
	}
	for _, f := range families {
		on := func(s string) string { return s + " over " + f.name }
		ping := func(want string, args ...string) func(r *rival) string {
			return func(r *rival) string {
				return pingTime.ReplaceAllString(r.client.said("ping", append([]string{"-n", f.ping, "-i0.01", "-W5"}, args...)...), "")
			}
		}
		add(on("ping through the gateway"), "ping", "2 received", nil, ping("", "-c2", f.server))
		add(on("ping of the gateway's near side"), "ping", "2 received", nil, ping("", "-c2", f.lan))
		add(on("ping of the gateway's far side"), "ping", "2 received", nil, ping("", "-c2", f.wan))
		add(on("ping in fragments"), "ping", "bytes from", nil, ping("", "-c3", "-i0.3", "-s4000", f.far))
		add(on("ping that is too big for the way on"), "ping", "", nil, ping("", "-c2", "-i0.3", "-Mdo", "-s1440", f.server))
		add(on("ping that ends at the gateway"), "ping", "1", nil, ping("", "-c1", "-t1", f.server))
		add(on("tracepath"), "tracepath", "pmtu 1400", nil, func(r *rival) string {
			out := traceTime.ReplaceAllString(r.client.said("tracepath", f.ping, "-n", "-m5", f.far), "")
			// It asks again when an answer is late.
			return strings.Join(slices.Compact(strings.Split(out, "\n")), "\n")
		})
		add(on("traceroute"), "traceroute", f.lan, nil, func(r *rival) string {
			return regexp.MustCompile(` +[0-9.]+ ms`).ReplaceAllString(r.client.said("traceroute", f.ping, "-n", "-q1", "-N1", "-m5", "-w5", f.server), "")
		})
		curl := func(h func(r *rival) *host, args ...string) func(r *rival) string {
			return func(r *rival) string {
				out := h(r).said("curl", append([]string{"-sS", "-g", "-m20", "-w", "%{http_code} %{num_connects} %{size_download}\n"}, args...)...)
				return curlError.ReplaceAllString(out, "failed")
			}
		}
		client := func(r *rival) *host { return r.client }
		server := func(r *rival) *host { return r.server }
		url := func(a, rest string) string {
			if strings.Contains(a, ":") {
				a = "[" + a + "]"
			}
			return "http://" + a + rest
		}
		add(on("curl"), "curl", "from "+f.wan, nil, curl(client, url(f.server, "/")))
		add(on("curl that takes and gives megabytes, twice on one connection"), "curl", "", nil, func(r *rival) string {
			s := curl(client, "--data-binary", "@"+filepath.Join(dir, "pub", "file"), url(f.far, "/big"), url(f.far, "/big"))(r)
			return fmt.Sprintf("%x %d bytes, %s", sha256.Sum256([]byte(s)), len(s), s[max(0, len(s)-40):])
		})
		add(on("curl to a port where nobody listens"), "curl", "exit 7", nil, curl(client, url(f.server, ":9999/")))
		add(on("curl that is rejected with a reset"), "curl", "exit 7", nil, curl(client, url(f.server, ":81/")))
		add(on("curl that is rejected by ICMP"), "curl", "exit 7", nil, curl(client, url(f.server, ":82/")))
		add(on("curl that is dropped"), "curl", "exit 28", nil, curl(client, "--connect-timeout", "0.3", url(f.server, ":83/")))
		add(on("curl from outside to a published port"), "curl", "from "+f.server, nil, curl(server, url(f.wan, ":8080/")))
		add(on("curl from inside to a published port"), "curl", "from "+f.lan, nil, curl(client, url(f.wan, ":8080/")))
		add(on("curl from outside to a port that is not published"), "curl", "exit 7", nil, curl(server, url(f.wan, ":8081/")))
		dig := func(args ...string) func(r *rival) string {
			return func(r *rival) string {
				return r.client.said("dig", append([]string{"+short", "+tries=1", "+time=5", "@" + f.server}, args...)...)
			}
		}
		add(on("dig"), "dig dnsmasq", "2001:db8::77", nil, dig("weir.test", "A", "weir.test", "AAAA"))
		add(on("dig by TCP"), "dig dnsmasq", "192.0.2.77", nil, dig("+tcp", "weir.test", "A"))
		add(on("dig with an answer in fragments"), "dig dnsmasq", "xxxx", nil, dig("+bufsize=4096", "+ignore", "big.test", "TXT"))
		add(on("dig to a port where nobody listens"), "dig", "exit 9", nil, dig("-p", "5354", "weir.test", "A"))
		iperf := func(args ...string) func(r *rival) string {
			return func(r *rival) string {
				out := r.client.said("iperf3", append([]string{"-c", f.server}, args...)...)
				if strings.Contains(out, "iperf Done") {
					return "done\n"
				}
				return out
			}
		}
		add(on("iperf3 out"), "iperf3", "done", ended, iperf("-n32M", "-P2"))
		add(on("iperf3 back"), "iperf3", "done", ended, iperf("-n32M", "-R"))
		add(on("iperf3 by UDP"), "iperf3", "done", ended, iperf("-u", "-b100M", "-n2M"))
		add(on("ssh"), "ssh sshd ssh-keygen", "262144", nil, func(r *rival) string {
			return r.client.said("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
				"-o", "LogLevel=ERROR", "-i", filepath.Join(dir, "key"), "root@"+f.server,
				"cd / && wc -c <"+filepath.Join(dir, "pub", "file")+" && echo $SSH_CONNECTION | cut -d' ' -f1,3,4")
		})
		ftp := func(passive string) func(r *rival) string {
			return func(r *rival) string {
				return r.client.said("lftp", "-c", "set net:max-retries 1; set net:timeout 10; set ftp:passive-mode "+passive+
					"; open ftp://"+url(f.server, "")[len("http://"):]+"; cls -1; cat file | sha256sum")
			}
		}
		add(on("FTP, passive"), "lftp vsftpd", "file\n", ended, ftp("on"))
		add(on("FTP, active"), "lftp vsftpd", "file\n", ended, ftp("off"))
		add(on("QUIC"), "gtlsclient gtlsserver", "262144", nil, func(r *rival) string {
			to, err := os.MkdirTemp(dir, "quic")
			if err != nil {
				return err.Error()
			}
			_, err = r.client.try("gtlsclient", "-q", "--exit-on-all-streams-close", "--download="+to, f.server, "443", "https://weir.test/file")
			b, err2 := os.ReadFile(filepath.Join(to, "file"))
			return fmt.Sprintf("%v %v %d bytes %x\n", err, err2, len(b), sha256.Sum256(b))
		})
	}
	add("STUN finds the kind of mapping", "turnserver turnutils_natdiscovery", "NAT with", nil, func(r *rival) string {
		out := r.client.said("turnutils_natdiscovery", "-m", "198.51.100.1")
		return strings.Join(regexp.MustCompile(`NAT with.*`).FindAllString(out, -1), "\n")
	})
	return all
}

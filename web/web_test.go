package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/control"
	"weir/engine"
	"weir/hook"
	"weir/iface"
	"weir/packet"
	"weir/route"
	"weir/scenario/line"
)

const rules4 = `*mangle
-A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
COMMIT
*nat
-A PREROUTING -i wan0 -p tcp --dport 8443 -m comment --comment "the shop" -j DNAT --to-destination 192.0.2.20:443
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:guests - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -m limit --limit 10/sec -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 192.0.2.128/25 -j guests
-A FORWARD -i lan0 -p tcp -m multiport --dports 22,80,443 -j ACCEPT
-A FORWARD -i lan0 -p udp -m udp --dport 53 -j ACCEPT
-A FORWARD -i lan0 -p icmp -j ACCEPT
-A guests -p tcp -m tcp --dport 22 -m comment --comment "guests have no business there <script>alert(1)</script>" -j REJECT --reject-with tcp-reset
COMMIT
`

// busy is a machine that has seen some traffic, behind a page.
func busy(t *testing.T, o Options) (*Page, *engine.Machine) {
	t.Helper()
	addrs := func(s ...string) (list []iface.Addr) {
		for _, a := range s {
			list = append(list, iface.Addr{Prefix: netip.MustParsePrefix(a)})
		}
		return list
	}
	wan := &iface.Iface{Index: 3, Name: "wan0", MTU: 1500, Addrs: addrs("203.0.113.2/24", "2001:db8:2::2/64")}
	m, errs := engine.New(engine.Config{
		Ifaces: []*iface.Iface{{Index: 2, Name: "lan0", MTU: 1500, Addrs: addrs("192.0.2.1/24", "2001:db8:1::1/64")}, wan},
		Routes: []route.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Dev: wan, Type: route.Unicast, Table: 254},
			{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("2001:db8:2::1"), Dev: wan, Type: route.Unicast, Table: 254}},
		Rules4: engine.Text{Name: "rules.v4", Text: []byte(rules4)},
		Rules6: engine.Text{Name: "rules.v6", Text: []byte("*filter\n-A FORWARD -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n")},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.netfilter.nf_conntrack_acct": "1", "net.netfilter.nf_conntrack_max": "500"},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	const now = 1_700_000_000e9
	send := func(text string) {
		p, err := line.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range p.Data {
			m.Receive(m.Ifaces().Name(p.In), packet.Link{}, d, now)
		}
	}
	for i := range 300 {
		src := 10 + i%90
		switch i % 5 {
		case 0, 1:
			send(fmt.Sprintf("lan0 tcp 192.0.2.%d:%d > 198.51.100.%d:443 S seq=1000", src, 4000+i, 1+i%7))
			if i%2 == 0 {
				send(fmt.Sprintf("wan0 tcp 198.51.100.%d:443 > 203.0.113.2:%d SA seq=5000 ack=1001", 1+i%7, 4000+i))
				send(fmt.Sprintf("lan0 tcp 192.0.2.%d:%d > 198.51.100.%d:443 A seq=1001 ack=5001", src, 4000+i, 1+i%7))
			}
		case 2:
			send(fmt.Sprintf("lan0 udp 192.0.2.%d:%d > 198.51.100.53:53 len=%d", src, 5000+i, 30+i))
		case 3:
			send(fmt.Sprintf("lan0 icmp 192.0.2.%d > 198.51.100.9 echo id=%d seq=1", src, i+1))
		case 4:
			send(fmt.Sprintf("lan0 udp [2001:db8:1::%x]:%d > [2001:db8:ff::35]:53 len=40", src, 6000+i))
		}
		if i%3 == 0 {
			send(fmt.Sprintf("wan0 tcp 198.51.100.66:%d > 203.0.113.2:23 S", 1000+i))
		}
		if i%20 == 0 {
			send(fmt.Sprintf("lan0 tcp 192.0.2.10:%d > 198.51.100.1:443 S ttl=1", 9000+i))
			send("wan0 udp 10.9.9.9:1 > 127.0.0.1:1 len=1")
		}
		if i%10 == 0 {
			send(fmt.Sprintf("lan0 tcp 192.0.2.200:%d > 198.51.100.1:22 S", 7000+i))
		}
	}
	s := control.NewServer(devices{control.Alone(m, func() int64 { return now })}, control.Options{Version: "test"})
	p, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.l.Close() })
	return p, m
}

// devices is a target with two devices.
type devices struct{ control.Target }

func (devices) Devices() []control.Device {
	ms := uint64(time.Now().UnixMilli())
	return []control.Device{
		{Name: "lan0", Device: "lan0", Up: true, RxPackets: ms * 70 % 1e9, RxBytes: ms * 90_000 % 1e12, TxPackets: ms * 40 % 1e9, TxBytes: ms * 900_000 % 1e12},
		{Name: "wan0", Device: "tun7", Up: true, RxPackets: ms * 40 % 1e9, RxBytes: ms * 900_000 % 1e12, TxPackets: ms * 70 % 1e9, TxBytes: ms * 90_000 % 1e12, TxDropped: 12},
	}
}

func get(t *testing.T, c *http.Client, u string) (int, string) {
	t.Helper()
	r, err := c.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestPagesShowTheMachine(t *testing.T) {
	p, m := busy(t, Options{Addr: "127.0.0.1:0", NoToken: true})
	srv := httptest.NewServer(p.Handler())
	defer srv.Close()
	for _, c := range []struct {
		name, path string
		status     int
		want       []string
		not        string
	}{
		{"overview", "/", 200, []string{">PREROUTING<", ">martian<", "✕ ttl", "✕ policy", "lan0", fmt.Sprintf(">%d<small>of 500", m.Conntrack().Len()), "alarm"}, "NaN"},
		{"all connections", "/connections", 200, []string{"1 to 50 of", `rel="next"`}, "No connection is"},
		{"the second page", "/connections?offset=50&sort=src", 200, []string{"51 to 100 of", `rel="prev"`, "▲"}, ""},
		{"a filter", "/connections?protocol=udp&addr=2001%3Adb8%3A1%3A%3A%2F64&port=&state=", 200, []string{"1 to 50 of 60", "v6", "[2001:db8:1::"}, ""},
		{"an ICMP id is no port", "/connections?port=9", 200, []string{"No connection is as the filter wants it"}, ""},
		{"a bad filter", "/connections?addr=elephant", 400, []string{"neither an address nor a network"}, ""},
		{"markup in a filter", "/connections?addr=%3Cscript%3E", 400, []string{"&lt;script&gt;"}, "<script>\""},
		{"rules", "/rules", 200, []string{"policy DROP", "-j guests", "%", "&lt;script&gt;alert"}, "<script>alert"},
		{"nat", "/rules?family=ipv4&table=nat", 200, []string{"MASQUERADE", "the shop"}, "guests"},
		{"IPv6 rules", "/rules?family=ipv6", 200, []string{"--ctstate NEW"}, "guests"},
		{"a table that is not there", "/rules?family=ipv6&table=raw", 200, []string{"No table of this family"}, ""},
		{"ports", "/ports?by=service", 200, []string{"203.0.113.2", "198.51.100.53 : 53", "udp 198.51.100.53:53"}, ""},
		{"a port's holder", "/ports?external=203.0.113.2&port=4000", 200, []string{"192.0.2.10:4000"}, "Nobody holds"},
		{"nobody's port", "/ports?external=203.0.113.2&port=9", 200, []string{"Nobody holds port 9"}, ""},
		{"not a port", "/ports?external=203.0.113.2&port=x", 400, []string{"that is not a port"}, ""},
		{"a style", "/static/style.css", 200, []string{"prefers-color-scheme"}, ""},
		{"no such page", "/etc/passwd", 404, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := get(t, http.DefaultClient, srv.URL+c.path)
			if code != c.status {
				t.Fatalf("status %d: %s", code, body)
			}
			for _, w := range c.want {
				if !strings.Contains(body, w) {
					t.Errorf("no %q in\n%s", w, body)
				}
			}
			if c.not != "" && strings.Contains(body, c.not) {
				t.Errorf("there is %q", c.not)
			}
		})
	}
}

func TestEveryDropHasAPlaceOrTheList(t *testing.T) {
	st := control.Status{}
	for r := hook.Reason(1); r < hook.NumReasons; r++ {
		st.Drops = append(st.Drops, control.Count{Name: r.String(), Count: 7})
	}
	svg := string(newDiagram(&st, nil).wide())
	elsewhere := map[string]bool{"rule": true, "policy": true, "reject": true, "hotdrop": true, "synproxy": true, "user": true} // in the rules
	for _, d := range st.Drops {
		if n := strings.Count(svg, "✕ "+d.Name+"<"); n != 1 && !elsewhere[d.Name] {
			t.Errorf("%s is drawn %d times", d.Name, n)
		}
	}
}

func TestWhoMaySeeThePage(t *testing.T) {
	if _, err := New(nil, Options{Addr: "192.0.2.1:80"}); err == nil {
		t.Error("an address that others reach was taken")
	}
	if _, err := New(nil, Options{Addr: ":0"}); err == nil {
		t.Error("all addresses were taken")
	}
	p, _ := busy(t, Options{Addr: "127.0.0.1:0"})
	srv := httptest.NewServer(p.Handler())
	defer srv.Close()
	u, _ := url.Parse(p.URL())
	token := u.Query().Get("token")
	if len(token) < 30 {
		t.Fatalf("the token is %q", token)
	}
	jar, _ := cookiejar.New(nil)
	for _, c := range []struct {
		name   string
		c      *http.Client
		path   string
		status int
	}{
		{"no token", http.DefaultClient, "/", 401},
		{"a wrong token", http.DefaultClient, "/?token=" + strings.Repeat("x", len(token)), 401},
		{"the style of the page that asks for one", http.DefaultClient, "/static/style.css", 200},
		{"the token", &http.Client{Jar: jar}, "/?token=" + token, 200},
		{"the cookie", &http.Client{Jar: jar}, "/rules", 200},
	} {
		if code, body := get(t, c.c, srv.URL+c.path); code != c.status || strings.Contains(body, token) {
			t.Errorf("%s: status %d", c.name, code)
		}
	}
	q := httptest.NewRequest("GET", "/", nil)
	q.AddCookie(&http.Cookie{Name: "weir-token", Value: token})
	for host, want := range map[string]int{"127.0.0.1:9631": 200, "localhost:80": 200, "[::1]:80": 200, "evil.example": 403, "evil.example:9631": 403, "192.0.2.1": 403} {
		q.Host = host
		w := httptest.NewRecorder()
		p.Handler().ServeHTTP(w, q)
		if w.Code != want {
			t.Errorf("Host: %s has status %d", host, w.Code)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("Host: %s: no policy", host)
		}
	}
	q.Host, q.Method = "localhost", "POST"
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, q)
	if w.Code != 405 {
		t.Errorf("POST has status %d", w.Code)
	}
}

// TestNothingIsFetchedFromElsewhere looks for addresses in everything that a
// browser gets.
func TestNothingIsFetchedFromElsewhere(t *testing.T) {
	p, _ := busy(t, Options{Addr: "127.0.0.1:0", NoToken: true})
	srv := httptest.NewServer(p.Handler())
	defer srv.Close()
	far := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]`)
	for _, path := range []string{"/", "/connections", "/rules", "/ports", "/static/style.css", "/static/page.js"} {
		_, body := get(t, http.DefaultClient, srv.URL+path)
		for _, l := range strings.Split(body, "\n") {
			if !strings.HasPrefix(l, "//") && far.MatchString(l) {
				t.Errorf("%s: %s", path, l)
			}
		}
	}
}

// TestInABrowser lets Chromium, where there is one, draw the first page for a
// wide screen and for a phone in the dark. With WEIR_SHOTS it draws all of them
// and leaves the pictures in that directory, for people to look at.
func TestInABrowser(t *testing.T) {
	bin := ""
	for _, n := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if b, err := exec.LookPath(n); err == nil && bin == "" {
			bin = b
		}
	}
	if bin == "" || testing.Short() {
		t.Skip("no Chromium here")
	}
	p, _ := busy(t, Options{Addr: "127.0.0.1:0", NoToken: true})
	srv := httptest.NewServer(p.Handler())
	defer srv.Close()
	dir := os.Getenv("WEIR_SHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	// The script fetches the first page again while it is looked at.
	var asked atomic.Int32
	counting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/" {
			asked.Add(1)
		}
		p.Handler().ServeHTTP(w, q)
	}))
	defer counting.Close()
	out, err := exec.Command(bin, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget=9000", "--dump-dom", counting.URL+"/").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n < 3 || strings.Contains(string(out), `class="gone"`) {
		t.Errorf("the page was fetched %d times in nine seconds:\n%s", n, out)
	}
	pages := map[string]string{"overview": "/", "connections": "/connections", "rules": "/rules", "ports": "/ports"}
	for name, path := range pages {
		for _, v := range []struct {
			kind  string
			width int
			flags []string
		}{{"wide", 1280, nil}, {"phone", 500, []string{"--force-dark-mode", "--enable-features=WebContentsForceDark:inversion_method/cielab_based", "--blink-settings=preferredColorScheme=0"}}} {
			if os.Getenv("WEIR_SHOTS") == "" && name != "overview" {
				continue
			}
			shot := filepath.Join(dir, name+"-"+v.kind+".png")
			args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
				fmt.Sprintf("--window-size=%d,1500", v.width), "--screenshot=" + shot}, v.flags...)
			if out, err := exec.Command(bin, append(args, srv.URL+path)...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if st, err := os.Stat(shot); err != nil || st.Size() < 10_000 {
				t.Errorf("%s: the picture is empty: %v", shot, err)
			}
		}
	}
}

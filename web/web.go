package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"weir/control"
)

//go:embed static pages
var files embed.FS

// Options say where the page is and who may see it.
type Options struct {
	// Addr is HOST:PORT; the host is a loopback address, port 0 is any free one.
	Addr string
	// NoToken lets everybody on this machine in.
	NoToken bool
}

// Page is the web page of a server. Make one with New.
type Page struct {
	s     *control.Server
	l     net.Listener
	token string // empty: nobody needs one
	tmpl  map[string]*template.Template

	mu   sync.Mutex
	last sample
	rate map[string]rates
}

// sample is the devices' counters at a time.
type sample struct {
	at      time.Time
	devices map[string]control.Device
}

// rates are what a device carried a second, lately.
type rates struct{ RxBits, TxBits, RxPackets, TxPackets float64 }

// New listens. An address that others could reach is refused.
func New(s *control.Server, o Options) (*Page, error) {
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); (err != nil || !a.IsLoopback()) && host != "localhost" {
		return nil, fmt.Errorf("%s: not a loopback address; use ssh -L or a proxy with a login to see the page from elsewhere", o.Addr)
	}
	p := &Page{s: s, tmpl: map[string]*template.Template{}, rate: map[string]rates{}}
	if !o.NoToken {
		b := make([]byte, 24)
		if _, err := rand.Read(b); err != nil {
			return nil, err
		}
		p.token = base64.RawURLEncoding.EncodeToString(b)
	}
	for _, name := range []string{"overview", "connections", "rules", "ports", "token"} {
		t, err := template.New("frame.html").Funcs(funcs()).ParseFS(files, "pages/frame.html", "pages/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.tmpl[name] = t
	}
	if p.l, err = net.Listen("tcp", o.Addr); err != nil {
		return nil, err
	}
	return p, nil
}

// URL is where the page is, with the token.
func (p *Page) URL() string {
	u := url.URL{Scheme: "http", Host: p.l.Addr().String(), Path: "/"}
	if p.token != "" {
		u.RawQuery = url.Values{"token": {p.token}}.Encode()
	}
	return u.String()
}

// Serve answers until the context is done.
func (p *Page) Serve(ctx context.Context) error {
	return control.ServeHTTP(ctx, p.l, p.Handler(), 64)
}

// Handler is the page without a listener of its own.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	static, _ := fs.Sub(files, "static")
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	mux.HandleFunc("GET /{$}", p.overview)
	mux.HandleFunc("GET /connections", p.connections)
	mux.HandleFunc("GET /rules", p.rules)
	mux.HandleFunc("GET /ports", p.ports)
	return p.guard(mux)
}

// guard lets in who has the token and asks for this address.
func (p *Page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !ours(q.Host) {
			http.Error(w, "this page is for this machine alone", http.StatusForbidden)
			return
		}
		if p.token == "" || strings.HasPrefix(q.URL.Path, "/static/") {
			next.ServeHTTP(w, q)
			return
		}
		v := q.URL.Query()
		if t := v.Get("token"); t != "" && q.Method == http.MethodGet {
			if !p.known(t) {
				p.show(w, http.StatusUnauthorized, "token", view{Title: "Token", Data: true})
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "weir-token", Value: t, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			v.Del("token")
			to := url.URL{Path: q.URL.Path, RawQuery: v.Encode()}
			http.Redirect(w, q, to.String(), http.StatusSeeOther)
			return
		}
		c, err := q.Cookie("weir-token")
		if err != nil || !p.known(c.Value) {
			p.show(w, http.StatusUnauthorized, "token", view{Title: "Token", Data: false})
			return
		}
		next.ServeHTTP(w, q)
	})
}

func (p *Page) known(t string) bool {
	return subtle.ConstantTimeCompare([]byte(t), []byte(p.token)) == 1
}

// ours reports a Host header that names a loopback address: another page whose
// name was made to lead here has its own name in it.
func ours(host string) bool {
	h, _, err := net.SplitHostPort(host)
	if err != nil {
		h = strings.Trim(host, "[]")
	}
	a, err := netip.ParseAddr(h)
	return h == "localhost" || err == nil && a.IsLoopback()
}

// view is what a page is made of.
type view struct {
	Title string
	Path  string
	Query url.Values
	// Every is how often the parts that change are fetched again, seconds; 0
	// is never.
	Every int
	Now   time.Time
	Data  any
}

// Protocols and Statuses are what the form of connections offers.
func (view) Protocols() []string {
	return []string{"tcp", "udp", "icmp", "icmpv6", "sctp", "gre"}
}

// Statuses: see Protocols.
func (view) Statuses() []string { return []string{"assured", "unreplied", "replied", "snat", "dnat"} }

// show writes a page.
func (p *Page) show(w http.ResponseWriter, status int, name string, v view) {
	v.Now = time.Now()
	var b bytes.Buffer
	if err := p.tmpl[name].Execute(&b, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Client talks to a server at a unix socket.
type Client struct {
	path string
	http http.Client
}

// NewClient makes a client; nothing is opened yet.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: 5 * time.Second}
			return d.DialContext(ctx, "unix", path)
		},
		ResponseHeaderTimeout: 2 * time.Minute,
		DisableCompression:    true,
	}
	return c
}

// ErrNotRunning is wrapped by the errors of a Client when nobody answers.
var ErrNotRunning = errors.New("no weir runs there")

// do sends a request. A status other than 200 is an error with the server's
// words.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "weir", Path: path, RawQuery: q.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s: %w", c.path, ErrNotRunning)
		}
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &e) != nil || e.Error == "" {
		e.Error = strings.TrimSpace(resp.Status + " " + string(text))
	}
	return nil, errors.New(e.Error)
}

// Get reads the object at a path.
func (c *Client) Get(ctx context.Context, path string, q url.Values, v any) error {
	return c.Do(ctx, "GET", path, q, nil, v)
}

// Do sends an object, nil for none, and reads one, unless v is nil.
func (c *Client) Do(ctx context.Context, method, path string, q url.Values, send, v any) error {
	var body io.Reader
	if send != nil {
		b, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.do(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if v == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// Text writes what is at a path to w as it comes.
func (c *Client) Text(ctx context.Context, path string, q url.Values, w io.Writer) error {
	resp, err := c.do(ctx, "GET", path, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

// Put sends a text.
func (c *Client) Put(ctx context.Context, path string, q url.Values, text io.Reader) error {
	resp, err := c.do(ctx, "PUT", path, q, text)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Lines calls f with each line of a stream until it ends, f fails or the
// context is done, which is no error. Empty lines only show that the server
// lives. The line is valid during the call.
func (c *Client) Lines(ctx context.Context, path string, q url.Values, f func(line []byte) error) error {
	resp, err := c.do(ctx, "GET", path, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(make([]byte, 64<<10), 16<<20)
	for sc.Scan() {
		if err := f(sc.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return sc.Err()
}

// Run runs a program on the server's machine. stdin is read when the program
// reads it; files are read and written here.
func (c *Client) Run(ctx context.Context, call Call, stdin io.Reader) (Answer, error) {
	for {
		var a Answer
		if err := c.Do(ctx, "POST", "/v1/program", nil, &call, &a); err != nil {
			return a, err
		}
		switch {
		case a.NeedStdin && call.Stdin == nil && !call.NoStdin:
			b, err := io.ReadAll(stdin)
			if err != nil {
				return a, err
			}
			call.Stdin, call.NoStdin = b, len(b) == 0
			continue
		case a.NeedFile != "":
			if _, given := call.Files[a.NeedFile]; given {
				return a, fmt.Errorf("%s: the server asks for it again", a.NeedFile)
			}
			b, err := os.ReadFile(a.NeedFile)
			if err != nil {
				// The program says so in its own words.
				call.Missing = append(call.Missing, a.NeedFile)
				if len(call.Missing) > 8 {
					return a, err
				}
				continue
			}
			if call.Files == nil {
				call.Files = map[string][]byte{}
			}
			call.Files[a.NeedFile] = b
			continue
		}
		for _, f := range a.Write {
			if err := os.WriteFile(f.Name, f.Data, 0o666); err != nil {
				return a, err
			}
		}
		return a, nil
	}
}

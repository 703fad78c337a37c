package control

import "time"

// beat is how often an idle stream is written to, so that both ends notice
// that the other is gone.
const beat = 15 * time.Second

// pump writes what a listener gets until the reader goes or the server ends.
// How many values were missed is said between them.
func pump[T any](s *Server, st *stream, gone <-chan struct{}, l *listener[T], write func(*T) error) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	said := uint64(0)
	for st.err == nil {
		select {
		case v := <-l.ch:
			if write(&v) != nil {
				return nil
			}
			if len(l.ch) == 0 {
				st.flush()
			}
		case <-tick.C:
			st.write([]byte("\n"))
			st.flush()
		case <-gone:
			return nil
		case <-s.done:
			return nil
		}
		if n := l.lost.Load(); n > said {
			st.line(map[string]uint64{"lost": n - said})
			said = n
		}
	}
	return nil
}

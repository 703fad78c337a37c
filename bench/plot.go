package main

import (
	"fmt"
	"math"
	"strings"
)

// series is one line of a plot.
type series struct {
	name  string
	class string // of the style below: one colour a subject
	dash  bool
	x, y  []float64
}

// plot is a chart with logarithmic axes.
type plot struct {
	title, sub, xLabel string
	yLabel             string
	series             []series
	xTick              func(float64) string
}

// style: a colour a subject, each legible on white and on dark. The
// attributes beside the classes are for viewers that know no style sheets.
const style = `<style>
.bg{fill:#ffffff}.fg{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d8dee4}.axis{stroke:#8c959f}.halo{stroke:#ffffff}
@media (prefers-color-scheme:dark){.bg{fill:#0d1117}.fg{fill:#f0f6fc}.dim{fill:#9198a1}.grid{stroke:#2a313a}.axis{stroke:#6e7681}.halo{stroke:#0d1117}
.l-linux{stroke:#6cb6ff}.t-linux{fill:#6cb6ff}.l-gvisor{stroke:#f0883e}.t-gvisor{fill:#f0883e}.l-weir{stroke:#3fb950}.t-weir{fill:#3fb950}.l-memory{stroke:#9198a1}.t-memory{fill:#9198a1}}
</style>`

var colours = map[string]string{"weir": "#1a7f37", "gvisor": "#bc4c00", "linux": "#0969da", "memory": "#6e7781"}

const (
	plotW, plotH           = 760, 440
	left, right, top, base = 64, 204, 86, 52
)

// svg draws the plot.
func (p *plot) svg() string {
	xLo, xHi, yLo, yHi := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range p.series {
		for i := range s.x {
			xLo, xHi = math.Min(xLo, s.x[i]), math.Max(xHi, s.x[i])
			yLo, yHi = math.Min(yLo, s.y[i]), math.Max(yHi, s.y[i])
		}
	}
	yLo, yHi = niceBelow(yLo), niceAbove(yHi)
	if xHi == xLo {
		xHi = xLo * 10
	}
	w, h := float64(plotW-left-right), float64(plotH-top-base)
	px := func(x float64) float64 { return left + w*math.Log(x/xLo)/math.Log(xHi/xLo) }
	py := func(y float64) float64 { return top + h - h*math.Log(y/yLo)/math.Log(yHi/yLo) }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif" font-size="12">`+"\n", plotW, plotH, plotW, plotH)
	fmt.Fprintf(&b, "<title>%s</title>\n%s\n", escape(p.title), style)
	fmt.Fprintf(&b, `<rect class="bg" fill="#ffffff" width="%d" height="%d" rx="8"/>`+"\n", plotW, plotH)
	fmt.Fprintf(&b, `<text class="fg" fill="#1f2328" x="16" y="26" font-size="16" font-weight="600">%s</text>`+"\n", escape(p.title))
	fmt.Fprintf(&b, `<text class="dim" fill="#59636e" x="16" y="46">%s</text>`+"\n", escape(p.sub))
	for d := yLo; d <= yHi*1.001; d *= 10 {
		for _, m := range []float64{1, 2, 5} {
			y := d * m
			if y > yHi*1.001 {
				break
			}
			// Where decades are many, their halves are lines only.
			if m != 1 && yHi/yLo > 1e4 {
				continue
			}
			fmt.Fprintf(&b, `<line class="grid" stroke="#d8dee4" x1="%d" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", left, left+w, py(y), py(y))
			fmt.Fprintf(&b, `<text class="dim" fill="#59636e" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-8, py(y)+4, duration(y))
		}
	}
	fmt.Fprintf(&b, `<text class="dim" fill="#59636e" x="16" y="%d">%s</text>`+"\n", top-12, escape(p.yLabel))
	seen := map[float64]bool{}
	for _, s := range p.series {
		for _, x := range s.x {
			if seen[x] {
				continue
			}
			seen[x] = true
			fmt.Fprintf(&b, `<line class="axis" stroke="#8c959f" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", px(x), px(x), top+h, top+h+5)
			fmt.Fprintf(&b, `<text class="dim" fill="#59636e" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", px(x), top+h+20, p.xTick(x))
		}
	}
	fmt.Fprintf(&b, `<line class="axis" stroke="#8c959f" x1="%d" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", left, left+w, top+h, top+h)
	fmt.Fprintf(&b, `<text class="dim" fill="#59636e" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", left+w/2, plotH-10, escape(p.xLabel))

	at := make([]float64, len(p.series)) // where the labels want to be
	for i, s := range p.series {
		var pts []string
		for j := range s.x {
			pts = append(pts, fmt.Sprintf("%.1f,%.1f", px(s.x[j]), py(s.y[j])))
		}
		width, dash := 2.0, ""
		if s.class == "weir" {
			width = 3.5
		}
		if s.dash {
			dash = ` stroke-dasharray="6 4"`
		}
		c := colours[s.class]
		fmt.Fprintf(&b, `<polyline class="l-%s" fill="none" stroke="%s" stroke-width="%.1f" stroke-linejoin="round"%s points="%s"/>`+"\n", s.class, c, width, dash, strings.Join(pts, " "))
		for j := range s.x {
			fmt.Fprintf(&b, `<circle class="t-%s" fill="%s" cx="%.1f" cy="%.1f" r="%.1f"/>`+"\n", s.class, c, px(s.x[j]), py(s.y[j]), width+0.5)
		}
		at[i] = py(s.y[len(s.y)-1])
	}
	for i, y := range spread(at, 15, top, top+h) {
		s := p.series[i]
		last := len(s.x) - 1
		// A line that ends early is labelled beside its end when there
		// is room, in the margin otherwise.
		x := px(s.x[last]) + 10
		fmt.Fprintf(&b, `<text class="t-%s" fill="%s" x="%.1f" y="%.1f" font-weight="600">%s  %s</text>`+"\n", s.class, colours[s.class], x, y+4, escape(s.name), duration(s.y[last]))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// spread moves labels apart: at least gap between any two, within bounds.
func spread(want []float64, gap, lo, hi float64) []float64 {
	at := append([]float64(nil), want...)
	for range 200 {
		moved := false
		for i := range at {
			for j := range at {
				d := at[j] - at[i]
				if i == j || d < 0 || d == 0 && j < i || d >= gap {
					continue
				}
				m := (gap - d) / 2
				at[i], at[j] = at[i]-m, at[j]+m
				moved = true
			}
			at[i] = math.Max(lo, math.Min(hi, at[i]))
		}
		if !moved {
			break
		}
	}
	return at
}

// niceBelow and niceAbove are the ends of an axis: 1, 2 or 5 times a power of
// ten; below is a power itself, so that the grid starts with it.
func niceBelow(v float64) float64 { return math.Pow(10, math.Floor(math.Log10(v))) }

func niceAbove(v float64) float64 {
	p := niceBelow(v)
	for _, m := range []float64{1, 2, 5, 10} {
		if p*m >= v {
			return p * m
		}
	}
	return p * 10
}

// duration writes ns with a unit.
func duration(ns float64) string {
	switch {
	case ns >= 999_500:
		return three(ns/1e6) + " ms"
	case ns >= 9_995 || ns == 1000 || ns == 2000 || ns == 5000: // ticks
		return three(ns/1e3) + " µs"
	}
	return three(ns) + " ns"
}

func three(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.0f", v), ".0")
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

package verbs

import (
	"strings"

	"weir/xtables"
)

// opt is an option of an extension as iptables-save prints it.
type opt struct {
	name string
	not  bool
	vals []string // quotes stand as they are printed
}

// val is the values as one text.
func (o *opt) val() string { return strings.Join(o.vals, " ") }

// bang is s if the option is inverted.
func (o *opt) bang(s string) string {
	if o.not {
		return s
	}
	return ""
}

// form is how -L prints an extension: head, then each option, each with a space
// before it. In the text of an option {} is the value, {!} a "!" for an option
// that is inverted, {! } a "!" with a space behind it; an empty text leaves the
// option out.
type form struct {
	head string
	opts map[string]string
	// fn prints what a table cannot say; then head and opts have no meaning.
	fn func(l *lister, r *xtables.Rule, os []opt) string
}

// options reads what AppendArgs wrote.
func options(text string) (os []opt) {
	not := false
	for text != "" {
		if text[0] == ' ' {
			text = text[1:]
			continue
		}
		word := text
		if text[0] == '"' {
			n := 1
			for n < len(text) && text[n] != '"' {
				if text[n] == '\\' {
					n++
				}
				n++
			}
			word = text[:min(n+1, len(text))]
		} else if i := strings.IndexByte(text, ' '); i >= 0 {
			word = text[:i]
		}
		text = text[len(word):]
		switch {
		case word == "!":
			not = true
		case strings.HasPrefix(word, "--") && len(word) > 2:
			os = append(os, opt{name: word[2:], not: not})
			not = false
		case len(os) > 0:
			o := &os[len(os)-1]
			o.vals = append(o.vals, word)
		}
	}
	return os
}

// unquote is a value without its quotes.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return s
	}
	var b []byte
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// match appends what -L prints of a match. text is its options as iptables-save
// prints them.
func (l *lister) match(b []byte, r *xtables.Rule, name string, text []byte) []byte {
	f, ok := matchForm(name)
	return l.form(b, r, name, f, ok, options(string(text)))
}

// target appends what -L prints of a target.
func (l *lister) target(b []byte, r *xtables.Rule, name string, text []byte) []byte {
	f, ok := targetForm(name)
	return l.form(b, r, name, f, ok, options(string(text)))
}

func (l *lister) form(b []byte, r *xtables.Rule, name string, f form, known bool, os []opt) []byte {
	if f.fn != nil {
		return append(b, f.fn(l, r, os)...)
	}
	if !known {
		f.head = name
	}
	if f.head != "" {
		b = append(append(b, ' '), f.head...)
	}
	for i := range os {
		o := &os[i]
		t, listed := f.opts[o.name]
		switch {
		case !listed && len(o.vals) == 0:
			t = "{! }" + o.name
		case !listed:
			t = "{! }" + o.name + " {}"
		case t == "":
			continue
		}
		t = strings.ReplaceAll(t, "{!}", o.bang("!"))
		t = strings.ReplaceAll(t, "{! }", o.bang("! "))
		b = append(append(b, ' '), strings.ReplaceAll(t, "{}", o.val())...)
	}
	return b
}

package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (completionCmd) Help() string {
	return `Examples:
  weir completion bash > /etc/bash_completion.d/weir
  weir completion zsh > "${fpath[1]}/_weir"
  weir completion fish > ~/.config/fish/completions/weir.fish`
}

// Run prints the code. It is made of the command line itself, so that it
// knows every verb and option.
func (c *completionCmd) Run(e *env, k *kong.Kong) error {
	var err error
	switch c.Shell {
	case "bash":
		_, err = fmt.Fprint(e.stdout, bashCompletion(k.Model))
	case "zsh":
		_, err = fmt.Fprint(e.stdout, zshCompletion(k.Model))
	case "fish":
		_, err = fmt.Fprint(e.stdout, fishCompletion(k.Model))
	}
	return err
}

// flagWords are the options of a verb, --help included.
func flagWords(n *kong.Node) []string {
	var ws []string
	for _, g := range n.AllFlags(true) {
		for _, f := range g {
			ws = append(ws, "--"+f.Name)
			if f.Short != 0 {
				ws = append(ws, "-"+string(f.Short))
			}
		}
	}
	return ws
}

func bashCompletion(m *kong.Application) string {
	var b strings.Builder
	b.WriteString("_weir() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n")
	var verbs []string
	for _, n := range m.Children {
		verbs = append(verbs, n.Name)
	}
	fmt.Fprintf(&b, "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W '%s --help' -- \"$cur\"))\n\t\treturn\n\tfi\n", strings.Join(verbs, " "))
	b.WriteString("\tcase $prev in\n\t--show) COMPREPLY=($(compgen -W 'all matched verdict' -- \"$cur\")); return ;;\n\tcompletion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")); return ;;\n\tesac\n")
	b.WriteString("\tif [[ $cur == -* ]]; then\n\t\tcase ${COMP_WORDS[1]} in\n")
	for _, n := range m.Children {
		fmt.Fprintf(&b, "\t\t%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", n.Name, strings.Join(flagWords(n), " "))
	}
	b.WriteString("\t\tesac\n\t\treturn\n\tfi\n\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _weir weir\n")
	return b.String()
}

func zshCompletion(m *kong.Application) string {
	var b strings.Builder
	b.WriteString("#compdef weir\n_weir() {\n\tlocal -a verbs=(\n")
	for _, n := range m.Children {
		fmt.Fprintf(&b, "\t\t'%s:%s'\n", n.Name, zshQuote(n.Help))
	}
	b.WriteString("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, n := range m.Children {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments -s", n.Name)
		for _, g := range n.AllFlags(true) {
			for _, f := range g {
				arg := ""
				switch {
				case f.Name == "show":
					arg = ":how:(all matched verdict)"
				case f.IsBool():
				case f.PlaceHolder == "FILE":
					arg = ":file:_files"
				default:
					arg = ":" + strings.ToLower(f.PlaceHolder) + ":"
				}
				fmt.Fprintf(&b, " \\\n\t\t\t'--%s[%s]%s'", f.Name, zshQuote(f.Help), arg)
				if f.Short != 0 {
					fmt.Fprintf(&b, " \\\n\t\t\t'-%c[%s]%s'", f.Short, zshQuote(f.Help), arg)
				}
			}
		}
		if n.Name == "completion" {
			b.WriteString(" \\\n\t\t\t'2:shell:(bash zsh fish)'\n\t\t;;\n")
		} else {
			b.WriteString(" \\\n\t\t\t'*:file:_files'\n\t\t;;\n")
		}
	}
	b.WriteString("\tesac\n}\n_weir \"$@\"\n")
	return b.String()
}

func zshQuote(s string) string {
	return strings.NewReplacer("'", "'\\''", "[", "(", "]", ")", ":", "\\:").Replace(s)
}

func fishCompletion(m *kong.Application) string {
	var b strings.Builder
	quote := strings.NewReplacer("\\", "\\\\", "'", "\\'").Replace
	for _, n := range m.Children {
		fmt.Fprintf(&b, "complete -c weir -n __fish_use_subcommand -f -a %s -d '%s'\n", n.Name, quote(n.Help))
	}
	for _, n := range m.Children {
		for _, g := range n.AllFlags(true) {
			for _, f := range g {
				fmt.Fprintf(&b, "complete -c weir -n '__fish_seen_subcommand_from %s' -l %s", n.Name, f.Name)
				if f.Short != 0 {
					fmt.Fprintf(&b, " -s %c", f.Short)
				}
				switch {
				case f.Name == "show":
					b.WriteString(" -x -a 'all matched verdict'")
				case f.IsBool():
				case f.PlaceHolder == "FILE":
					b.WriteString(" -r")
				default:
					b.WriteString(" -x")
				}
				fmt.Fprintf(&b, " -d '%s'\n", quote(f.Help))
			}
		}
	}
	b.WriteString("complete -c weir -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\n")
	return b.String()
}

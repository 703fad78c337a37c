package save

import (
	"sort"
	"strings"
)

// suggest is "; did you mean X?" for the name that is nearest to word, with
// prefix before it, or empty if none is near.
func suggest(prefix, word string, names []string) string {
	best, dist := "", min(1+len(word)/4, 3)
	sort.Strings(names)
	for _, n := range names {
		if n == "" || n == word {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(n), dist); d < dist || best == "" && d == dist {
			best, dist = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + prefix + best + "?"
}

// distance counts the letters to insert, remove, replace or swap with their
// neighbour to make b of a, or something above max.
func distance(a, b string, max int) int {
	if d := len(a) - len(b); d > max || -d > max {
		return max + 1
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}

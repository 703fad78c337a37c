// Package filter is the language of --only: tcpdump's expressions and
// comparisons of what weir found (verdict==drop, reason!=policy, n==17,
// in==lan0, out==wan0, ct==NEW), joined by && || ! and parentheses.
//
// A Filter answers for a packet whose fate is known, and also for one that has
// only arrived: then it may say that it cannot know yet.
//
// Layer 2: imports packet and trace/render.
package filter

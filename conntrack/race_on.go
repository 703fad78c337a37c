//go:build race

package conntrack

// racing: reads whose value nobody uses are left out, since the race detector
// cannot know that.
const racing = true

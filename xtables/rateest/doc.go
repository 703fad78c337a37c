// Package rateest is the rate estimators that -j RATEEST feeds and -m rateest
// asks: exponentially weighted averages of bytes and packets a second, in the
// kernel's own arithmetic (net/core/gen_estimator.c). Layer 5: imports nothing.
package rateest

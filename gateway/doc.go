// Package gateway carries real packets through an engine.Machine: it opens the
// devices of a machine directory, reads and writes them in batches, keeps the
// clock, and lets others look at and change the machine while it runs.
//
//	g, errs := gateway.New("router", gateway.Options{Logger: log})
//	err := g.Run(ctx) // until ctx is done
//
// # Life cycle
//
// New reads the directory and makes the machine with all its rules; no device
// is open yet. Run opens the devices, and brings them up last, so that nothing
// passes before the rules are there. When its context ends it takes no more
// packets, sends what is under way and closes the devices. Reload reads the
// directory again and swaps rules and routes whole, or changes nothing.
//
// # Locks
//
// Each queue of each device has a goroutine with an engine.Worker of its own.
// Do lets one caller at a time have the machine. All methods may be called
// from any goroutine.
//
// # Failing closed
//
// A packet leaves only because the machine sent it. What a device cannot take
// is dropped and counted; see Stats.
//
// Layer 11: imports machine, engine, replay; reads the wall clock, opens
// devices.
package gateway

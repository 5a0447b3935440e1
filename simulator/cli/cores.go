package cli

import (
	"os"
	"runtime"
	"runtime/debug"
)

// coreFlags say how much of the machine a command takes that stands beside what it measures.
type coreFlags struct {
	Cores int `help:"Processor cores to use at most: more than one costs more than it gains until the lag says that one is full." default:"1" env:"GOMAXPROCS"`
}

// garbage is how many percent the heap may grow between two collections: most of what a run has in memory lives as long as it.
const garbage = 200

// claim takes that much, until release.
func (f coreFlags) claim() (release func()) {
	cores := runtime.GOMAXPROCS(max(f.Cores, 1))
	if os.Getenv("GOGC") != "" {
		return func() { runtime.GOMAXPROCS(cores) }
	}
	before := debug.SetGCPercent(garbage)
	return func() {
		debug.SetGCPercent(before)
		runtime.GOMAXPROCS(cores)
	}
}
